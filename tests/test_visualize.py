"""The page is served on this machine only, and what it cannot serve is said before it starts."""

import socket

import pytest

from scripts import visualize as module
from scripts.visualize import SETTINGS, visualize


@pytest.fixture
def started(monkeypatch) -> list[list[str]]:
    """Return what Streamlit would have been started with."""
    calls: list[list[str]] = []
    monkeypatch.setattr(
        "streamlit.web.cli.main_run", lambda args, standalone_mode: calls.append(args)
    )
    monkeypatch.setattr(module, "_check_port", lambda port: None)
    return calls


def test_streamlit_gets_the_page_the_pipelines_and_our_settings(files, started, monkeypatch):
    visualize([str(files["model"])], port=8600, headless=True)
    (args,) = started
    flags, (page, dashes, *models) = args[:-3], args[-3:]
    assert page.endswith("scripts/page.py") and dashes == "--" and models == [str(files["model"])]
    assert set(flags) == {
        "--server.address=127.0.0.1",
        "--server.allowedHosts=127.0.0.1",
        "--server.fileWatcherType=none",
        "--server.showEmailPrompt=False",
        "--server.port=8600",
        "--server.headless=True",
        "--browser.gatherUsageStats=False",
        "--client.showErrorDetails=none",
        "--client.toolbarMode=viewer",
    }


def test_streamlit_knows_every_setting():
    from streamlit import config

    assert len(SETTINGS) >= 7
    assert [key for key in SETTINGS if key not in config._config_options_template] == []


def test_without_pipelines_it_takes_all_that_were_trained(started, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"training: no pipelines\. .*`make run` trains one"):
        visualize([])
    for name in ("a/cnn", "b/cnn"):
        (tmp_path / "training" / name / "pipeline").mkdir(parents=True)
        (tmp_path / "training" / name / "pipeline" / "meta.json").write_text("{}")
    visualize([])
    assert started[0][-2:] == ["training/a/cnn/pipeline", "training/b/cnn/pipeline"]
    assert "--server.headless=True" not in started[0]


def test_what_cannot_be_served_is_refused(files, tmp_path, monkeypatch, started):
    with pytest.raises(ValueError, match=r"nothing: no pipeline here\. Expected a folder"):
        visualize([str(files["model"]), str(tmp_path / "nothing")])
    monkeypatch.setattr(module, "find_spec", {"streamlit": None}.get)
    with pytest.raises(ValueError, match=r"Streamlit is not installed\. Run pip install -r"):
        visualize([str(files["model"])])
    assert started == []


def test_a_port_that_is_taken_is_named(files):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ValueError, match=rf"Port {port}: .* Expected a free one; --port"):
            visualize([str(files["model"])], port=port)
