"""The files in docs/mqtt that integrators copy: Node-RED runs its flow, the others name only what exists."""

import json
import os
import re
import shutil
import subprocess
import time
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent.health.metrics import exposition
from agent.health.report import Fault
from agent.messaging.client import Link
from agent.messaging.compose import health
from agent.messaging.contract import Inhibit, MachineState, Response, Talk
from agent.messaging.inbound import Admitted
from tests.health.test_report import WELL
from tests.integration.brokers import HOST, Mosquitto, eventually, free_port, mosquitto, needs_mosquitto
from tests.integration.npm import installed
from tests.messaging.examples import NAMESPACE, STATION, command, mqtt

__all__ = ["mosquitto"]
DOCS = Path(__file__).parents[2] / "docs" / "mqtt"
FULL = replace(
    WELL,
    engine=replace(
        WELL.engine, inference_p50_seconds=0.02, inference_p95_seconds=0.03, inference_max_seconds=0.1
    ),
    audio=replace(
        WELL.audio, level_dbfs=-30.0, peak_dbfs=-12.0, noise_floor_dbfs=-60.0, snr_db=20.0, stuck=True
    ),
    system=replace(WELL.system, temperature_celsius={"soc": 50.0}),
)


@pytest.fixture
def flow(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[Mosquitto]:
    """Our flow at work, with a broker."""
    node_red = installed("node-red@4.1.15") / ".bin" / "node-red"
    shutil.copy(DOCS / "node-red.json", tmp_path / "flows.json")
    environment = {**os.environ, "BROKER_HOST": HOST, "BROKER_PORT": str(mosquitto.port)}
    process = subprocess.Popen(
        [str(node_red), "--userDir", str(tmp_path), "--port", str(free_port()), "flows.json"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Connected to broker" in line:
                break
        else:
            pytest.fail("Node-RED ended: " + "".join(lines))
        yield mosquitto
    finally:
        process.kill()
        process.wait()


@needs_mosquitto
def test_node_red_flow_answers_commands_in_time_and_refuses_late_ones(flow: Mosquitto) -> None:
    answers: list[Response] = []

    def hear(message: Admitted) -> None:
        if isinstance(message.payload, Response):
            answers.append(message.payload)

    link = Link(mqtt(flow.port), NAMESPACE, on_inbound=hear)
    link.start()
    assert eventually(lambda: link.health().connected)
    good, late = command(), command(-5)
    for order in (good, late):
        link.command(order, "speed", time.monotonic() + 2).result(3)
    assert eventually(lambda: len(answers) == 2)
    link.stop()
    outcomes = {answer.command_id: (answer.outcome, answer.reason) for answer in answers}
    assert outcomes == {good.id: ("accepted", ""), late.id: ("refused", "came too late")}


@needs_mosquitto
@pytest.mark.skipif(shutil.which("mosquitto_rr") is None, reason="mosquitto-clients is not installed")
def test_a_consumer_is_tried_and_watched_as_the_manual_says(flow: Mosquitto) -> None:
    """`mosquitto_rr` asks Node-RED with our flow, `mosquitto_sub` sees it."""
    manual = (DOCS / "README.md").read_text()
    (watch,) = re.findall(r"    (mosquitto_sub .*)\n", manual)
    (ask,) = re.findall(r"    (mosquitto_rr [^\n]*/command/.*?)\n\n", manual, re.DOTALL)
    watch, ask = (
        line.replace("mosquitto_rr", f"mosquitto_rr -W 10 -p {flow.port}").replace(
            "mosquitto_sub", f"exec mosquitto_sub -W 60 -p {flow.port}"
        )
        for line in (watch, ask)
    )
    state = "acme/lyon/assembly/line-3/cell-7/voice/press-2/state"
    keep = ["mosquitto_pub", "-V", "5", "-p", str(flow.port), "-r", "-t", state, "-m", "kept"]
    subprocess.run(keep, check=True)
    watcher = subprocess.Popen(["sh", "-c", watch], stdout=subprocess.PIPE, text=True)
    assert watcher.stdout
    try:
        assert watcher.stdout.readline() == f"{state} kept\n"  # it has subscribed
        answer = json.loads(subprocess.run(["sh", "-c", ask], capture_output=True, check=True).stdout)
        topic, _, command = watcher.stdout.readline().partition(" ")
    finally:
        watcher.kill()
        watcher.wait()
    assert answer["outcome"] == "accepted"
    assert topic.endswith("/voice/press-2/command/speed")
    assert json.loads(command)["id"] == answer["command_id"]


def test_grafana_knows_all_that_the_dashboard_says(tmp_path: Path) -> None:
    """By the types that Grafana itself publishes; the server is in no package repository."""
    modules = installed("@grafana/schema@12.4.11", "typescript@5.9.3")
    (tmp_path / "node_modules").symlink_to(modules)
    dashboard = (DOCS / "grafana.json").read_text()
    assert complaints(tmp_path, dashboard) == ""
    assert "not assignable" in complaints(tmp_path, dashboard.replace('"type": "timeseries"', '"type": 5'))


def complaints(folder: Path, dashboard: str) -> str:
    program = folder / "dashboard.ts"
    program.write_text(
        f"import type {{ Dashboard }} from '@grafana/schema';\nconst it: Dashboard = {dashboard};\n"
    )
    compiler = "node node_modules/typescript/bin/tsc --noEmit --skipLibCheck --strict"
    modern = "--module nodenext --moduleResolution nodenext --target es2022"
    command = [*compiler.split(), *modern.split(), str(program)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


def test_dashboard_shows_only_metrics_that_exist() -> None:
    dashboard = json.loads((DOCS / "grafana.json").read_text())
    text = exposition(FULL, [Fault.NO_LINK])
    metrics = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    for query in queries:
        named = set(re.findall(r"voxline_\w+", query))
        assert named
        assert named <= metrics, query
        if "key" in re.findall(r"by \(([^)]*)\)", query + "by ()")[0]:
            assert any(f"{name}{{key=" in text for name in named), query


def test_telegraf_reads_only_fields_that_exist() -> None:
    config = tomllib.loads((DOCS / "telegraf.conf").read_text())
    report = json.loads(health(FULL, (), datetime.now(UTC)).model_dump_json())
    (consumer,) = config["inputs"]["mqtt_consumer"]
    (document,) = consumer["json_v2"]
    datetime.fromisoformat(report[document["timestamp_path"]])
    for entry in document["field"] + document["tag"]:
        value: Any = report
        for key in entry["path"].split("."):
            value = value[key]
        assert isinstance(value, str | int | float), entry
    (parsing,) = consumer["topic_parsing"]
    topic = [*NAMESPACE.base.split("/"), "health"]
    tags = dict(zip(parsing["tags"].split("/"), topic, strict=True))
    assert (tags["site"], tags["station"]) == (STATION.site, STATION.id)


@needs_mosquitto
@pytest.mark.skipif(shutil.which("mosquitto_pub") is None, reason="mosquitto-clients is not installed")
def test_commands_in_the_manual_are_understood(mosquitto: Mosquitto) -> None:
    """The shell lines of the manual, run as they stand but for the broker and the place."""
    manual = (DOCS / "README.md").read_text()
    (script,) = re.findall(r"    (now\(\).*?)\n\n", manual, re.DOTALL)
    place = "acme/lyon/assembly/line-3/cell-7"
    assert script.count(place) == 3
    script = script.replace(place, NAMESPACE.cell).replace(
        "mosquitto_pub", f"mosquitto_pub -p {mosquitto.port}"
    )
    heard: list[Admitted] = []
    link = Link(mqtt(mosquitto.port), NAMESPACE, on_inbound=heard.append)
    link.watch(frozenset({"saw/guard_closed"}))
    link.start()
    assert eventually(lambda: link.health().connected)
    subprocess.run(["sh", "-ec", script], check=True)
    assert eventually(lambda: len(heard) == 3)
    kinds = [type(message.payload) for message in heard]
    link.stop()
    assert kinds == [Inhibit, MachineState, Talk]
