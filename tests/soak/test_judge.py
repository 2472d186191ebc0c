"""The arithmetic of the soak: each thing that must not happen is found when it does."""

import json
import random
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from tests.soak.faults import Fault
from tests.soak.judge import examine
from tests.soak.observed import Arrival, Line, Run, Sample
from tests.soak.report import summary
from tests.soak.resources import Slope
from tests.soak.sound import Utterance

BASE = "acme/lyon/assembly/l3/c7/voice/press-2"
WALL_S = 1_700_000_000.0
TTL_S = 2.0


def utc(moment_s: float) -> str:
    return datetime.fromtimestamp(WALL_S + moment_s, UTC).isoformat()


def arrival(topic: str, at_s: float, said_s: float | None = None, **body: Any) -> Arrival:
    content = {"time": utc(at_s if said_s is None else said_s), **body}
    return Arrival.of(f"{BASE}/{topic}", json.dumps(content).encode(), at_s, WALL_S)


def command(number: int, said_s: float, after_s: float = 0.3) -> Arrival:
    meaning = {"command": "conveyor_start", "slots": {"conveyor": 3}}
    return arrival(
        "command/start", said_s + after_s, said_s, id=number, expires=utc(said_s + TTL_S), meaning=meaning
    )


def health(at_s: float, connects: int, overruns: int = 0) -> Arrival:
    link, audio = {"connects_total": connects}, {"overruns_total": overruns}
    return arrival("health", at_s, link=link, audio=audio)


def decided(at_s: float, verdict: str = "accept", order: int = 1) -> tuple[Line, dict[str, Any]]:
    line = Line(at_s, {"event": "decided", "verdict": verdict})
    return line, {"kind": "decision", "verdict": verdict, "order": order, "at_s": at_s}


def sample(minute: float, mib: float, threads: int = 6, descriptors: int = 17) -> Sample:
    return Sample(60 * minute, round(mib * 2**20), round(mib * 2**20), threads, descriptors, minute)


def good() -> Run:
    """Twenty minutes, one command a minute, nothing wrong."""
    spoken, arrivals, lines, audit = [], [], [], []
    for number in range(20):
        end_s = 60.0 * number + 30
        spoken.append(Utterance("a", "command", "conveyor_start", {"conveyor": 3}, end_s - 2, end_s))
        line, entry = decided(end_s + 0.2, order=number)
        lines.append(line)
        audit.append(entry)
        arrivals += [
            command(number, end_s - 0.1),
            arrival("event/accept", end_s + 0.3, command_id=number),
            arrival("event/delivery", end_s + 0.4, fate="acknowledged"),
            health(end_s + 5, 1),
        ]
    noise = random.Random(1)
    samples = [sample(tick / 10, 170 + noise.gauss(0, 0.5)) for tick in range(200)]
    return Run(
        seed=1, started_s=0.0, ended_s=1200.0, exit_status=0, ended_by_itself=False, spoken=spoken,
        blocks_lost=0, faults=[], arrivals=arrivals, lines=lines, samples=samples, audit=audit,
        audit_faults=[],
    )  # fmt: skip


def failures(run: Run) -> str:
    found: list[str] = examine(run)["failures"]
    return "\n".join(found)


def test_a_good_run_passes() -> None:
    report = examine(good())
    assert report["failures"] == []
    assert report["commands"]["received_by_the_plant"] == 20
    assert report["commands"]["unlike_what_was_spoken"] == 0
    assert "passed" in summary(report)


@pytest.mark.parametrize(
    ("extra", "failure"),
    [
        (command(99, 29.9, after_s=2.5), "expired"),
        (command(0, 29.9), "came twice"),
        (command(99, 29.9), "made twice of one sentence"),
        (command(99, 45.0), "never spoken"),
    ],
)
def test_bad_commands_are_found(extra: Arrival, failure: str) -> None:
    run = good()
    assert failure in failures(replace(run, arrivals=[*run.arrivals, extra]))


def test_a_command_that_only_claims_to_be_fresh_is_found() -> None:
    """Its own times say that it is in time, but the sentence had ended 3 s before."""
    run = good()
    lie = arrival("command/start", 33.1, 30.4, id=99, expires=utc(34.0), meaning={})
    rest = [a for a in run.arrivals if "/command/" not in a.topic or a.body["id"] != 0]
    assert failures(replace(run, arrivals=[*rest, lie])) == ""
    stale = replace(lie, expires_s=32.4, at_s=33.1)
    assert "by the speaker's clock" in failures(replace(run, arrivals=[*rest, stale]))


def test_a_command_during_a_lockout_is_found() -> None:
    run = replace(good(), faults=[Fault("lockout", 20.0, 40.0)])
    told = arrival("event/inhibition", 21.0, active=True)
    assert "during a lockout" in failures(replace(run, arrivals=[*run.arrivals, told]))
    bad_link = [*run.faults, Fault("half_open", 19.0, 23.0)]
    assert "lockout" not in failures(replace(run, faults=bad_link, arrivals=[*run.arrivals, told]))


@pytest.mark.parametrize(
    ("fault", "report"),
    [
        (Fault("broker_killed", 40.0, 45.0), health(50.0, 2)),
        (Fault("reset", 40.0, 40.0), health(50.0, 2)),
        (Fault("half_open", 40.0, 49.0), health(50.0, 2)),
        (Fault("sound_silent", 40.0, 49.0), arrival("event/audio", 60.0, 44.0, event="stuck")),
        (Fault("grammar_bad", 40.0, 49.0), arrival("event/grammar", 42.0, event="refused")),
        (Fault("sighup", 40.0, 40.0), arrival("event/grammar", 42.0, event="loaded")),
        (Fault("lockout", 40.0, 45.0), arrival("event/inhibition", 41.0, active=True)),
        (Fault("agent_frozen", 40.0, 45.0), health(50.0, 1, overruns=1)),
    ],
)
def test_gaps_that_are_not_reported_are_found(fault: Fault, report: Arrival) -> None:
    run = replace(good(), faults=[fault])
    assert f"{fault.kind}: 1 of 1 were not reported" in failures(run)
    assert failures(replace(run, arrivals=[*run.arrivals, report])) == ""


def test_sound_that_is_reported_late_is_not_reported() -> None:
    run = replace(good(), faults=[Fault("sound_stopped", 40.0, 55.0)])
    late = arrival("event/audio", 60.0, 47.0, event="stuck")
    assert "sound_stopped" in failures(replace(run, arrivals=[*run.arrivals, late]))


def test_a_full_disk_must_be_owned_up_to() -> None:
    run = good()
    failed = Line(30.3, {"event": "audit_failed"})
    faults = [Fault("disk_full", 25.0, 45.0)]
    silent = replace(run, faults=faults, lines=[*run.lines, failed], audit=run.audit[1:])
    assert "1 decisions are missing, but only 0 are owned up to" in failures(silent)
    assert "disk_full: 1 of 1" in failures(silent)
    gap = {"kind": "gap", "missed": 3, "at_s": 50.0}
    assert failures(replace(silent, audit=[*silent.audit, gap])) == ""


def test_a_command_without_a_trace_is_found() -> None:
    run = good()
    arrivals = [a for a in run.arrivals if not ("/event/" in a.topic and a.at_s < 60)]
    assert "1 spoken commands left no trace" in failures(
        replace(run, arrivals=arrivals, lines=run.lines[1:], audit=run.audit[1:])
    )


def test_an_event_that_never_came_is_found_unless_a_killed_broker_took_it() -> None:
    run = good()
    run = replace(run, arrivals=[a for a in run.arrivals if a.body.get("command_id") != 3])
    assert "1 accepted commands are in the audit log, but their event never came" in failures(run)
    killed = replace(run, faults=[Fault("broker_killed", 210.5, 212.0)])
    assert "never came" not in failures(killed)


def test_an_agent_that_ends_or_breaks_its_log_fails() -> None:
    assert "the agent ended" in failures(replace(good(), exit_status=2))
    assert "the agent ended" in failures(replace(good(), ended_by_itself=True))
    assert "audit log: x" in failures(replace(good(), audit_faults=["x"]))


def test_leaks_are_found() -> None:
    run = good()
    leak = [replace(s, resident_bytes=s.resident_bytes + round(s.at_s / 60 * 2e5)) for s in run.samples]
    assert "memory grows by" in failures(replace(run, samples=leak))
    more = [replace(s, descriptors=17 + int(s.at_s / 120), threads=6 + (s.at_s > 600)) for s in run.samples]
    assert "descriptors: 17 at first, 26 at the end" in failures(replace(run, samples=more))
    assert "threads: 6 at first, 7 at the end" in failures(replace(run, samples=more))


def test_an_interval_holds_the_true_slope_as_often_as_it_says() -> None:
    """Also where neighbours are alike, as memory is."""
    rng = np.random.default_rng(5)
    hours = np.arange(60) / 60
    held = 0
    for _ in range(400):
        noise = np.zeros(60)
        for index in range(1, 60):
            noise[index] = 0.5 * noise[index - 1] + rng.normal(0, 0.3)
        slope = Slope.of(list(hours), list(170 + 2.0 * hours + noise))
        held += slope.low <= 2.0 <= slope.high
    assert 0.88 <= held / 400 <= 0.99


def test_messages_that_were_mangled_are_no_json() -> None:
    assert Arrival.of("x", b"{\xff", 1.0, WALL_S).body == {}
    assert Arrival.of("x", b"[1]", 1.0, WALL_S).body == {}
    assert Arrival.of("x", b'{"time": 5}', 1.0, WALL_S).body == {}
