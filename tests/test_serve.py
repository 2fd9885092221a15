"""The command in a process of its own: load, slow clients, clients that leave, the end."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
import spacy

from scripts.serve import is_local, listen, main
from tests.conftest import ROOT, ROWS

TEXTS = [text for text, _ in ROWS]


class Service:
    """A started service: its process, its port, and what it prints."""

    def __init__(self, model: Path, folder: Path, *options: str) -> None:
        command = [sys.executable, "-m", "scripts.serve", str(model), "--port", "0", *options]
        self.said = folder / "said"
        with self.said.open("w") as said:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said)
        while not (found := re.search(r"http://127\.0\.0\.1:(\d+)/docs", self.said.read_text())):
            assert self.process.poll() is None, self.said.read_text()
            time.sleep(0.05)
        self.port = int(found[1])
        self.address = f"http://127.0.0.1:{self.port}"

    def ask(self, texts: list[str], **more: object) -> httpx.Response:
        return httpx.post(
            f"{self.address}/predict", json={"texts": texts, **more}, timeout=60, trust_env=False
        )

    def count(self, line: str) -> float:
        text = httpx.get(f"{self.address}/metrics", trust_env=False).text
        found = [row for row in text.splitlines() if row.startswith(f"{line} ")]
        return float(found[0].split()[-1]) if found else 0.0

    def connect(self, *lines: str) -> socket.socket:
        """Return a connection that has sent these lines."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        connection.sendall("\r\n".join(lines).encode())
        return connection


@pytest.fixture(scope="module")
def service(decided, tmp_path_factory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    service = Service(decided, folder, "--timeout", "1.5", "--queue", "8", "--name", "small")
    yield service
    service.process.terminate()
    assert service.process.wait(20) == 0
    assert "Traceback" not in service.said.read_text()


def head(length: int) -> list[str]:
    """Return the headers of a request with a body of so many bytes."""
    kind = "content-type: application/json"
    return ["POST /predict HTTP/1.1", "host: x", kind, f"content-length: {length}", ""]


@pytest.mark.slow
def test_it_listens_on_this_machine_only(service):
    listening = [
        connection.laddr.ip
        for connection in psutil.Process(service.process.pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening == ["127.0.0.1"]


@pytest.mark.slow
def test_under_load_every_client_gets_its_own_answers(service, decided):
    nlp = spacy.load(decided)
    texts = [f"{TEXTS[number % 8]} {number}" for number in range(160)]
    expected = [nlp(text).cats for text in texts]

    def ask(start: int) -> list[dict[str, float]]:
        found = []
        for _ in range(20):  # sent away while the queue is full
            answer = service.ask(texts[start : start + 10])
            if answer.status_code == 200:
                return [one["scores"] for one in answer.json()["predictions"]]
            assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
            time.sleep(0.1)
        return found

    with ThreadPoolExecutor(16) as pool:
        found = [row for rows in pool.map(ask, range(0, 160, 10)) for row in rows]
    assert len(found) == 160
    for row, cats in zip(found, expected, strict=True):
        assert row == pytest.approx(cats, abs=2e-5)


@pytest.mark.slow
def test_slow_clients_are_cut_off_and_hold_nobody_up(service):
    silent = service.connect("")
    half = service.connect("POST /predict HTTP/1.1", "host: x")
    body = json.dumps({"texts": ["a"]})
    slow = service.connect(*head(len(body)), body[:5])
    endless = service.connect(*head(1_000_000_000), "[")
    start = time.monotonic()
    assert service.ask(["a"]).status_code == 200
    assert time.monotonic() - start < 1.4  # did not wait for them
    assert slow.recv(9999).startswith(b"HTTP/1.1 408 ")
    assert endless.recv(9999).startswith(b"HTTP/1.1 413 ")
    for connection in (silent, half, slow, endless):
        connection.settimeout(10)
        try:
            while connection.recv(9999):
                pass
        except ConnectionResetError:
            pass  # cut off too
    assert service.count('requests_total{path="/predict",status="408"}') == 1


@pytest.mark.slow
def test_a_client_that_leaves_is_counted_and_the_next_is_answered(service):
    body = json.dumps({"texts": [" ".join(TEXTS * 4)], "explain": True})  # takes a while
    connections = [service.connect(*head(len(body)), body) for _ in range(5)]
    time.sleep(0.2)
    for connection in connections:
        connection.close()
    line = 'requests_total{path="/predict",status="499"}'
    ends = time.monotonic() + 15
    while service.count(line) < 1 or service.count("waiting"):
        assert time.monotonic() < ends, httpx.get(f"{service.address}/metrics").text
        time.sleep(0.05)
    assert service.ask(["a"]).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end_it_answers_what_it_has_begun(decided, tmp_path, number):
    service = Service(decided, tmp_path)
    texts = [" ".join(TEXTS)] * 4
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(service.ask, texts, explain=True) for _ in range(3)]
        while service.count("waiting") < 8:  # two alone would be 7
            assert not all(one.done() for one in asked)
        service.process.send_signal(number)
        answers = [one.result() for one in asked]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert [len(answer.json()["predictions"]) for answer in answers] == [4] * 3
    assert service.process.wait(20) == 0
    assert "Traceback" not in service.said.read_text()


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_without_its_models_it_ends_with_a_sentence(decided, tmp_path, capsys, damage):
    model = tmp_path / "pipeline"
    if damage == "damaged":
        model.mkdir()
        (model / "meta.json").write_text("{}")
        (model / "config.cfg").write_text("[nlp")
    with pytest.raises(SystemExit) as ended:
        main([str(model)], port=0)
    assert ended.value.code == 1
    expected = {"missing": "no pipeline here", "damaged": "pipeline: cannot be loaded"}[damage]
    assert expected in " ".join(capsys.readouterr().out.split())


def test_a_port_that_is_taken_and_an_address_elsewhere_are_named():
    with listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        assert listening.getsockname()[0] == "127.0.0.1"
        with pytest.raises(ValueError, match=rf"port {port}: .* in use\. Expected a free port"):
            listen("127.0.0.1", port)
    with pytest.raises(ValueError, match=r"no\.such\.host\.invalid, port 0: .*Expected a free"):
        listen("no.such.host.invalid", 0)


def test_addresses_that_others_can_reach_are_told_apart():
    local = ["127.0.0.1", "127.0.0.5", "::1", "localhost"]
    assert all(is_local(host) for host in local)
    assert not any(is_local(host) for host in ["0.0.0.0", "::", "10.0.0.1", "example.org"])
