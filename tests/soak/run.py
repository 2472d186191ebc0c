"""`./dev soak`: the real agent for an hour, spoken to without end, while something breaks every minute.

A broker, a chaos proxy, a plant that answers, `voxline run` as a process. Prints JSON on standard output and
a summary on standard error; exits with 1 if the agent leaked, kept quiet about a gap, or acted late or twice.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import psutil

from agent.commands.verify import tail, verify
from agent.messaging.namespace import Namespace
from tests.integration.booth import BUNDLE, GOLDEN, GRAMMAR, STATION
from tests.integration.brokers import Mosquitto, eventually
from tests.integration.chaos import ChaosProxy
from tests.soak.draw import draw
from tests.soak.faults import Faults, Stage
from tests.soak.judge import examine
from tests.soak.observed import Arrival, Line, Run, Sample
from tests.soak.plant import Plant
from tests.soak.report import summary
from tests.soak.sound import Speaker

SAMPLE_EVERY_S = 5.0
START_S, END_S = 30.0, 20.0
"""How long the agent may take to begin and to end."""
QUIET_S = 15.0
"""After the last fault, so that everything that was kept arrives."""
SETTINGS = """
[station]
enterprise = "{station.enterprise}"
site = "{station.site}"
area = "{station.area}"
line = "{station.line}"
cell = "{station.cell}"
id = "{station.id}"
[audio]
type = "stdin"
[recognition]
grammar = "{grammar}"
bundle = "{bundle}"
[mqtt]
host = "127.0.0.1"
port = {port}
keepalive_s = 4
reconnect_spread_s = 2.0
[logging]
format = "json"
[storage]
state = "{folder}/state"
cache = "{folder}/cache"
"""


class Agent:
    """`voxline run`, with its log and its memory watched."""

    def __init__(self, folder: Path, port: int) -> None:
        self.lines: list[Line] = []
        self.samples: list[Sample] = []
        config = folder / "config.toml"
        config.write_text(
            SETTINGS.format(
                station=STATION, grammar=folder / "grammar.yaml", bundle=BUNDLE, port=port, folder=folder
            )
        )
        self.process = subprocess.Popen(
            [Path(sys.executable).with_name("voxline"), "run", "--config", config],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdin
        assert self.process.stderr
        os.set_blocking(self.process.stdin.fileno(), False)
        self.descriptor = self.process.stdin.fileno()
        self._ended = threading.Event()
        for job, arguments in ((self._read, (self.process.stderr,)), (self._sample, ())):
            threading.Thread(target=job, args=arguments, daemon=True).start()

    def end(self) -> int:
        """Ask it to stop; gives its exit status."""
        self._ended.set()
        self.process.terminate()
        try:
            return self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def _read(self, log: IO[bytes]) -> None:
        for raw in log:
            try:
                self.lines.append(Line(time.monotonic(), json.loads(raw)))
            except ValueError:
                self.lines.append(Line(time.monotonic(), {"event": raw.decode(errors="replace").rstrip()}))

    def _sample(self) -> None:
        process = psutil.Process(self.process.pid)
        while not self._ended.wait(SAMPLE_EVERY_S) and process.is_running():
            try:
                with process.oneshot():
                    memory = process.memory_full_info()
                    self.samples.append(
                        Sample(
                            at_s=time.monotonic(),
                            resident_bytes=memory.rss,
                            unique_bytes=memory.uss,
                            threads=process.num_threads(),
                            descriptors=process.num_fds(),
                            cpu_s=sum(process.cpu_times()[:2]),
                        )
                    )
            except psutil.NoSuchProcess:
                return


def soak(folder: Path, minutes: float, seed: int, talk: list[Path]) -> Run:
    """Run everything and tell what happened."""
    namespace = Namespace.of(STATION)
    grammar = folder / "grammar.yaml"
    grammar.write_bytes(GRAMMAR.read_bytes())
    with (
        Mosquitto(folder) as broker,
        ChaosProxy(broker.port, seed) as proxy,
        Plant(broker.port, namespace, seed) as plant,
    ):
        plant.start()
        agent = Agent(folder, proxy.port)
        speaker = Speaker(agent.descriptor, GOLDEN, talk, seed)
        speaker.start()
        assert eventually(lambda: bool(plant.on("/health")), START_S), agent.lines
        started_s = time.monotonic()
        faults = Faults(Stage(broker, proxy, plant, speaker, agent.process.pid, grammar), seed)
        faults.start()
        end_s = started_s + 60 * minutes
        while time.monotonic() < end_s and agent.process.poll() is None:
            time.sleep(1.0)
        faults.stop()
        time.sleep(QUIET_S)
        speaker.stop()
        time.sleep(QUIET_S / 3)
        ended_by_itself = agent.process.poll() is not None
        ended_s = time.monotonic()
        status = agent.end()
        plant.stop()
        received = list(plant.received)
    wall_s = time.time() - time.monotonic()
    audit = folder / "state" / "audit"
    return Run(
        seed=seed,
        started_s=started_s,
        ended_s=ended_s,
        exit_status=status,
        ended_by_itself=ended_by_itself,
        spoken=speaker.spoken,
        blocks_lost=speaker.blocks_lost,
        faults=faults.made,
        arrivals=[
            Arrival.of(message.topic, message.payload, message.arrived_s, wall_s) for message in received
        ],
        lines=agent.lines,
        samples=agent.samples,
        audit=[
            dict(entry.fields) | {"at_s": _moment_s(entry.fields, wall_s)} for entry in tail(audit, 10**6)
        ],
        audit_faults=verify(audit).faults,
    )


def _moment_s(fields: Any, wall_s: float) -> float:
    return datetime.fromisoformat(str(fields["time"])).timestamp() - wall_s


def main() -> int:
    """Run a soak and judge it."""
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--talk", type=Path, help="folder with more speech that holds no command")
    parser.add_argument("--picture", type=Path, help="draw memory over time into this SVG")
    given = parser.parse_args()
    talk = (
        sorted(path for path in given.talk.rglob("*") if path.suffix in {".opus", ".wav", ".flac"})[:500]
        if given.talk
        else []
    )
    with tempfile.TemporaryDirectory(prefix="voxline-soak-") as folder:
        run = soak(Path(folder), given.minutes, given.seed, talk)
    report = examine(run)
    if given.picture:
        draw(run, report, given.picture)
    sys.stderr.write(summary(report))
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    return 1 if report["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
