"""`voxline run` as systemd runs it: a process, signals, settings from a file, sound through a pipe."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.messaging.namespace import Namespace
from tests.integration.booth import BUNDLE, GRAMMAR, STATION, require_bundle
from tests.integration.brokers import PATIENCE_S, Mosquitto, Scada, eventually, mosquitto, needs_mosquitto

require_bundle()
__all__ = ["mosquitto"]
pytestmark = needs_mosquitto

BASE = Namespace.of(STATION).base
SETTINGS = """
[station]
enterprise = "acme"
site = "lyon"
area = "assembly"
line = "l3"
cell = "c7"
id = "press-2"
[audio]
type = "stdin"
[recognition]
grammar = "{grammar}"
bundle = "{bundle}"
[mqtt]
port = {port}
keepalive_s = 2
[storage]
state = "{folder}/state"
cache = "{folder}/cache"
"""


@contextmanager
def running(folder: Path, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the agent in a quiet room."""
    config = folder / "config.toml"
    config.write_text(SETTINGS.format(grammar=GRAMMAR, bundle=BUNDLE, port=port, folder=folder))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("voxline"), "run", "--config", config],
            stdin=subprocess.PIPE,
            stderr=log,
        )
        threading.Thread(target=hiss, args=(process,), daemon=True).start()
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def hiss(process: "subprocess.Popen[bytes]") -> None:
    rng = np.random.default_rng(0)
    try:
        while process.stdin:
            process.stdin.write(rng.normal(0, 3, 1600).astype(np.int16).tobytes())
            process.stdin.flush()
            time.sleep(0.1)
    except OSError:
        return  # it has ended


def last_state(plant: Scada) -> tuple[str, str]:
    state: dict[str, Any] = json.loads(plant.on("/state")[-1].payload)
    return state["status"], state["reason"]


@pytest.fixture
def plant(mosquitto: Mosquitto) -> Iterator[Scada]:
    with Scada(mosquitto.port, f"{BASE}/#") as plant:
        yield plant


def test_sighup_reads_the_grammar_and_sigterm_says_goodbye(
    tmp_path: Path, mosquitto: Mosquitto, plant: Scada
) -> None:
    with running(tmp_path, mosquitto.port) as agent:
        plant.wait_for("/health")
        assert last_state(plant)[0] in {"online", "degraded"}
        agent.send_signal(signal.SIGHUP)
        (grammar,) = plant.wait_for("/event/grammar")
        assert json.loads(grammar.payload)["event"] == "loaded"
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(PATIENCE_S) == 0, (tmp_path / "log").read_text()
    with Scada(mosquitto.port, f"{BASE}/state") as late:
        late.wait_for("/state")
        assert last_state(late) == ("offline", "shutdown")


def test_systemd_is_told_what_the_station_lacks(
    tmp_path: Path, mosquitto: Mosquitto, plant: Scada, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(2 * PATIENCE_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with running(tmp_path, mosquitto.port):
            assert [systemd.recv(1000) for _ in range(2)] == [b"READY=1", b"STATUS=well"]
            plant.wait_for("/health")
            mosquitto.kill()
            while "no_link" not in (told := systemd.recv(1000).decode()):
                pass
            assert told.startswith("STATUS=")


def test_sigkill_leaves_the_last_will(tmp_path: Path, mosquitto: Mosquitto, plant: Scada) -> None:
    with running(tmp_path, mosquitto.port) as agent:
        plant.wait_for("/health")
        agent.kill()
        assert eventually(lambda: last_state(plant) == ("offline", "link_lost"))
    assert plant.on("/state")[-1].retain


def test_a_fault_at_the_start_is_a_message(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    settings = SETTINGS.format(grammar=tmp_path / "none.yaml", bundle=BUNDLE, port=1, folder=tmp_path)
    config.write_text(settings)
    process = subprocess.run(
        [Path(sys.executable).with_name("voxline"), "run", "--config", config],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 2
    assert "error[" in process.stderr
    assert "none.yaml" in process.stderr
    assert "Traceback" not in process.stderr
