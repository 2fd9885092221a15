"""dvc.yaml says what project.yml says, and what docs/dvc.md prints does what it says there."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import pytest
import srsly
from moto.server import ThreadedMotoServer
from packaging.requirements import Requirement
from weasel.cli.dvc import update_dvc_config
from weasel.util import load_project_config

from scripts.dvc import INSTALL, dvc_stages, main, write_stages
from tests.conftest import LABELS, ROOT, ROWS

PROJECT = srsly.read_yaml(ROOT / "project.yml")
STEPS = ["preprocess", "train", "decide", "evaluate", "tables"]


def test_stages_are_the_steps_of_the_workflow_with_their_lines_deps_and_outputs():
    stages = dvc_stages(PROJECT)["stages"]
    commands = {command["name"]: command for command in PROJECT["commands"]}
    assert list(stages) == STEPS
    for name, stage in stages.items():
        assert stage["cmd"] == commands[name]["script"]
        assert stage["deps"] == commands[name]["deps"]
    assert stages["train"]["outs"] == ["training/${vars.data}/${vars.config}/trained"]


def test_a_stage_depends_on_the_vars_of_its_lines_and_on_no_others():
    stages = dvc_stages(PROJECT)["stages"]
    used = ["config", "data", "gpu_id", "options", "seed"]
    assert stages["train"]["params"] == [{"project.yml": [f"vars.{name}" for name in used]}]
    assert "vars.seed" not in stages["preprocess"]["params"][0]["project.yml"]


def test_metrics_stay_with_git():
    outs = dvc_stages(PROJECT)["stages"]["evaluate"]["outs"]
    assert outs == [{"metrics/${vars.data}/${vars.config}.json": {"cache": False}}]


def test_what_is_shown_is_made_by_a_stage():
    content = dvc_stages(PROJECT)
    made = [out for stage in content["stages"].values() for out in stage["outs"]]
    shown = re.findall(
        r"training/[^\s']+?\.(?:csv|json)", f"{content['metrics']}{content['plots']}"
    )
    assert len(shown) == 6
    assert [path for path in shown if str(Path(path).parent) not in made] == []


@pytest.mark.parametrize(
    "line", ["python x.py > log", "echo ${env.home}", "ls *.py", "a; b", "~/x"]
)
def test_a_line_that_a_shell_reads_differently_is_refused(line):
    project = {"workflows": {"dvc": ["a"]}, "commands": [{"name": "a", "script": [line]}]}
    project["commands"][0]["outputs"] = ["x"]
    with pytest.raises(ValueError, match=rf"project.yml, a: .* in '{re.escape(line)}'"):
        dvc_stages(project)


def test_a_project_without_the_workflow_is_refused():
    with pytest.raises(ValueError, match="no workflow dvc"):
        dvc_stages({"workflows": {"all": []}, "commands": []})


def test_an_own_file_is_replaced_and_one_written_by_hand_is_not(tmp_path):
    shutil.copy(ROOT / "project.yml", tmp_path)
    output = tmp_path / "dvc.yaml"
    assert write_stages(tmp_path, output) == STEPS
    written = output.read_text()
    assert write_stages(tmp_path, output) == STEPS
    assert output.read_text() == written
    output.write_text("stages: {}\n")
    with pytest.raises(ValueError, match=r"dvc\.yaml: not written by this command"):
        write_stages(tmp_path, output)
    assert output.read_text() == "stages: {}\n"


def test_the_runner_s_own_command_leaves_the_file_while_the_project_is_the_same(
    tmp_path, monkeypatch
):
    shutil.copy(ROOT / "project.yml", tmp_path)
    monkeypatch.setattr("weasel.cli.dvc.ensure_dvc", lambda path: None)
    write_stages(tmp_path, tmp_path / "dvc.yaml")
    written = (tmp_path / "dvc.yaml").read_text()
    assert not update_dvc_config(tmp_path, load_project_config(tmp_path), "all")
    assert (tmp_path / "dvc.yaml").read_text() == written


def test_without_dvc_the_file_is_written_and_a_sentence_says_how_to_install_it(
    tmp_path, monkeypatch, capsys
):
    shutil.copy(ROOT / "project.yml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "dvc", None)
    main(Path("dvc.yaml"))
    assert f"DVC is not installed. Next: {INSTALL}" in capsys.readouterr().out
    assert list(srsly.read_yaml(tmp_path / "dvc.yaml")["stages"]) == STEPS
    pinned = [Requirement(line) for line in (ROOT / "requirements.txt").read_text().splitlines()
              if line.startswith("dvc")]  # fmt: skip
    assert pinned == [Requirement(INSTALL.split('"')[1])]


@pytest.mark.slow
def test_without_dvc_and_ray_every_other_command_can_be_imported():
    names = sorted(f"scripts.{path.stem}" for path in (ROOT / "scripts").glob("[!_]*.py"))
    hide = "import sys; sys.modules.update(dict.fromkeys(['ray', 'dvc', 'boto3', 'moto']))"
    code = f"{hide}; import {', '.join(names)}"
    assert len(names) > 30
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


# The page, as printed.

PAGE = (ROOT / "docs" / "dvc.md").read_text(encoding="utf8")
FOUND = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
BLOCKS = [text.splitlines() for kind, text in FOUND if not kind]
(REMOTES,) = [text for kind, text in FOUND if kind == "yaml"]
FEW = "--training.max_steps 2 --training.eval_frequency 1"


@dataclass
class Place:
    """A repository, a clone of it, storage, and what the commands printed."""

    folder: Path
    server: ThreadedMotoServer
    printed: list[list[str]] = field(default_factory=list)

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def clone(self) -> Path:
        return self.folder / "clone"

    @property
    def address(self) -> str:
        return "http://{}:{}".format(*self.server.get_host_and_port())

    def run(self, command: str, where: Path, status: int = 0) -> str:
        """Run a line and return what it printed."""
        here = {"/mnt/storage": str(self.folder), "https://s3.example.org": self.address}
        for said, meant in here.items():
            command = command.replace(said, meant)
        found = subprocess.run(
            ["bash", "-c", command],
            cwd=where,
            env=self.environment(),
            capture_output=True,
            text=True,
        )
        printed = found.stdout + found.stderr
        assert (found.returncode != 0) == (status != 0), f"{command}\n{printed[-3000:]}"
        return printed

    def environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        folders = ("DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR")
        names = ("AUTHOR", "COMMITTER")
        return {
            **own,
            **{name: str(self.folder / name) for name in folders},
            **{f"GIT_{name}_NAME": "x" for name in names},
            **{f"GIT_{name}_EMAIL": "x@example.org" for name in names},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}",
            "PYTHONPATH": "",
            "OMP_NUM_THREADS": "1",
            "DVC_NO_ANALYTICS": "1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "HF_HUB_OFFLINE": "1",
        }


def make_project(folder: Path) -> None:
    """Copy what git would commit, with a few posts of three labels as GoEmotions."""
    for name in ("configs", "plugins", "scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "metrics").mkdir()
    for name in ("project.yml", "pyproject.toml", ".gitignore"):
        shutil.copy(ROOT / name, folder)
    data = folder / "assets" / "goemotions"
    data.mkdir(parents=True)
    (data / "emotions.txt").write_text("".join(f"{label}\n" for label in LABELS))
    srsly.write_json(data / "ekman_mapping.json", {"happy": ["joy"]})
    ids = {label: str(number) for number, label in enumerate(LABELS)}
    rows = [
        f"{text}\t{','.join(ids[label] for label in sorted(on))}\t{number}\n"
        for number, (text, on) in enumerate(ROWS)
    ]
    for split in ("train", "dev", "test"):
        (data / f"{split}.tsv").write_text("".join(rows))
    replace(folder / "project.yml", 'options: ""', f'options: "{FEW}"')


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf8")


def remove_results(folder: Path) -> None:
    for name in (".dvc/cache", "corpus", "training"):
        shutil.rmtree(folder / name)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A place where all that the page prints was done, block by block."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    place = Place(tmp_path_factory.mktemp("place"), server)
    keys = {"aws_access_key_id": "KEY", "aws_secret_access_key": "SECRET"}
    client = boto3.client("s3", endpoint_url=place.address, region_name="us-east-1", **keys)
    client.create_bucket(Bucket="my-bucket")
    make_project(place.project)
    place.run("git init -q && git add . && git commit -qm Code", place.project)
    run, change, experiment, folder, clone, bucket, runner = BLOCKS
    follow(place, run, place.project)
    replace(place.project / "project.yml", "seed: 0", "seed: 1")
    follow(place, change, place.project)
    follow(place, experiment, place.project)
    follow(place, folder, place.project)
    place.run(f"git clone -q project {place.clone.name}", place.folder)
    shutil.copytree(place.project / "assets", place.clone / "assets")
    follow(place, clone, place.clone)
    follow(place, bucket[:-1], place.clone)
    remove_results(place.clone)
    follow(place, bucket[-1:], place.clone)
    path = place.clone / "project.yml"
    path.write_text(path.read_text() + REMOTES.replace("/mnt/storage", str(place.folder)))
    follow(place, runner[:1], place.clone)
    shutil.rmtree(place.clone / "corpus")
    follow(place, runner[1:], place.clone)
    yield place
    place.server.stop()


def follow(place: Place, block: list[str], where: Path) -> None:
    place.printed.append([place.run(command, where) for command in block])


def stages_run(printed: str) -> list[str]:
    return re.findall(r"Running stage '([\w-]+)'", printed)


def test_the_page_has_its_blocks():
    assert [len(block) for block in BLOCKS] == [9, 5, 2, 4, 2, 6, 2]


@pytest.mark.slow
def test_repro_runs_every_step_and_a_second_one_none(place):
    first, again = (place.printed[0][n] for n in (5, 8))
    assert stages_run(first) == STEPS
    assert stages_run(again) == [] and "up to date" in again


@pytest.mark.slow
def test_a_changed_var_runs_again_what_depends_on_it_and_the_changes_are_shown(place):
    status, repro, params, metrics, _ = place.printed[1]
    assert re.search(r"modified: +vars\.seed", status) and "preprocess" not in status
    assert stages_run(repro) == STEPS[1:]
    assert re.search(r"vars\.seed +0 +1", params)
    found = re.search(r"macro_f1 +([\d.]+) +([\d.]+) +(-?[\d.]+)", metrics)
    old, new, change = map(float, found.groups())
    assert change == pytest.approx(new - old, abs=2e-5) and change != 0
    assert {"micro_f1", "macro_auc", "views.ekman"} <= set(metrics.split())


@pytest.mark.slow
def test_the_plots_are_curves_of_both_trainings_and_bars_of_the_labels(place):
    page = (place.project / "dvc_plots" / "index.html").read_text(encoding="utf8")
    for title in ("Score on dev by step", "Training loss by step", "F1 of each label"):
        assert title in page
    steps = re.findall(r'"step": "(\d)", "score": "0\.\d+", .*?"rev": "(\w+)"', page)
    assert sorted(set(steps)) == [(n, rev) for n in "012" for rev in ("HEAD", "workspace")]
    assert page.count('"label": "anger"') == 2


@pytest.mark.slow
def test_an_experiment_changes_the_var_and_is_listed(place):
    run, show = place.printed[2]
    assert stages_run(run) == ["evaluate", "tables"]  # the rest is in the cache
    text = (place.project / "project.yml").read_text(encoding="utf8")
    assert "  seed: 0\n" in text and "# Override on the command line" in text
    assert "macro_f1" in show and "vars.seed" in show


@pytest.mark.slow
def test_a_clone_pulls_everything_and_has_nothing_to_run(place):
    assert re.search(r"\d\d files pushed", place.printed[3][-1])
    pull, repro = place.printed[4]
    assert re.search(r"\d\d files fetched", pull)
    assert stages_run(repro) == [] and "up to date" in repro
    model = "training/goemotions/cnn/pipeline/textcat_multilabel/model"
    assert (place.clone / model).read_bytes() == (place.project / model).read_bytes()


@pytest.mark.slow
def test_a_bucket_gets_everything_and_gives_it_back(place):
    assert re.search(r"\d\d files pushed", place.printed[5][-1])
    assert re.search(r"\d\d files fetched", place.printed[6][0])
    assert (place.clone / "training/goemotions/cnn/pipeline").is_dir()


@pytest.mark.slow
def test_the_storage_of_the_runner_gives_a_corpus_back(place):
    assert "Pushed training/goemotions/cnn/pipeline" in place.printed[7][0]
    assert "Pulled corpus/goemotions" in place.printed[8][0]
    name = "corpus/goemotions/train.spacy"
    assert (place.clone / name).read_bytes() == (place.project / name).read_bytes()


@pytest.fixture
def copy(place, tmp_path) -> Path:
    """A copy of the clone to lose things in."""
    return shutil.copytree(place.clone, tmp_path / "copy", symlinks=True)


@pytest.mark.slow
def test_a_lost_folder_is_filled_again_by_push(place, copy, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(place.folder / "emotions", store)
    place.run(f"dvc remote modify storage url {store}", copy)
    shutil.rmtree(store)
    assert re.search(r"\d\d files pushed", place.run("dvc push", copy))
    assert "up to date" in place.run("dvc repro", copy)
    shutil.rmtree(store)
    remove_results(copy)
    assert "Checkout failed" in place.run("dvc pull", copy, status=1)
    place.run("dvc repro preprocess", copy)
    assert (copy / "corpus/goemotions/train.spacy").exists()


@pytest.mark.slow
def test_a_changed_object_is_found_if_it_is_asked_for(place, copy, tmp_path):
    shutil.copytree(place.folder / "emotions", tmp_path / "store")
    place.run(f"dvc remote modify storage url {tmp_path / 'store'}", copy)
    place.run("dvc remote modify storage verify true", copy)
    name = "corpus/goemotions/train.spacy"
    digest = hashlib.md5((copy / name).read_bytes()).hexdigest()
    stored = tmp_path / "store" / "files" / "md5" / digest[:2] / digest[2:]
    stored.chmod(0o644)
    stored.write_bytes(b"other")
    remove_results(copy)
    place.run("dvc pull", copy, status=1)
    assert not (copy / name).exists()


@pytest.mark.slow
def test_a_server_that_is_down_is_said_and_nothing_is_touched(place, copy):
    place.run("dvc remote modify bucket endpointurl http://127.0.0.1:1", copy)
    said = place.run("dvc push -r bucket", copy, status=1)
    assert "Could not connect to the endpoint URL" in said
    assert "up to date" in place.run("dvc repro", copy)
    place.run("dvc remote remove storage", copy)
    assert "no remote specified" in place.run("dvc push", copy, status=1)


@pytest.mark.slow
def test_the_runner_s_own_command_deletes_the_file_once_the_project_has_changed(place, copy):
    replace(copy / "project.yml", "seed: 0", "seed: 1")
    place.run("python -m scripts.dvc", copy)
    written = (copy / "dvc.yaml").read_text()
    assert "No changes found" in place.run("spacy project dvc", copy)
    assert (copy / "dvc.yaml").read_text() == written
    replace(copy / "project.yml", "seed: 1", "seed: 0")
    place.run("spacy project dvc", copy, status=1)
    assert not (copy / "dvc.yaml").exists()
    place.run("git checkout dvc.yaml", copy)
    assert "up to date" in place.run("dvc repro", copy)
