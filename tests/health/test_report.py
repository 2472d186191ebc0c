from dataclasses import replace
from datetime import UTC, datetime

import pytest

from agent.commands.decision import Hindrances
from agent.health.report import Fault, assess
from agent.health.snapshot import (
    AudioHealth,
    EngineHealth,
    LinkHealth,
    Outcome,
    PanelHealth,
    RecognizerHealth,
    SelfTestHealth,
    Snapshot,
    SystemHealth,
    UpdatesHealth,
    Versions,
)
from agent.messaging.compose import health
from agent.messaging.contract import Health, Status
from agent.messaging.payload import Quality

WELL = Snapshot(
    uptime_seconds=60.0,
    versions=Versions(agent="0.1.0", bundle="moonshine@1", grammar="demo@abc"),
    engine=EngineHealth(name="rknn", reason="NPU, driver and canary answer", fallback=False),
    audio=AudioHealth(source="USB microphone", frames_total=6000),
    recognizer=RecognizerHealth(real_time_factor=0.1, accepts_total=3, rejects_total={"background": 2}),
    commands=Hindrances(
        inhibited=False, reason="", unavailable_count=1, unavailable={"feed": "saw/guard_closed?"}
    ),
    self_test=SelfTestHealth(outcome=Outcome.PASSED, age_seconds=50.0, runs_total={Outcome.PASSED: 1}),
    panel=PanelHealth(),
    updates=UpdatesHealth(),
    link=LinkHealth(connected=True, since_seconds=59.0, reason=""),
    system=SystemHealth(
        cpu_ratio=0.2,
        process_resident_bytes=150 * 2**20,
        memory_available_bytes=2**30,
        disk_free_bytes=2**30,
        clock_synchronized=True,
    ),
)
NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def test_a_well_station_has_no_fault() -> None:
    assert assess(WELL) == ()
    report = health(WELL, (), NOW)
    assert (report.status, report.quality, report.faults) == (Status.ONLINE, Quality.GOOD, ())


@pytest.mark.parametrize(
    ("part", "changes", "fault"),
    [
        ("audio", {"silent_for_seconds": 5.1}, Fault.NO_AUDIO),
        ("audio", {"source": ""}, Fault.NO_AUDIO),
        ("audio", {"stuck": True}, Fault.AUDIO_STUCK),
        ("engine", {"failing": True}, Fault.ENGINE_FAILING),
        ("self_test", {"outcome": Outcome.FAILED}, Fault.SELF_TEST_FAILED),
        ("panel", {"button": "/dev/gpiochip3: No such file or directory"}, Fault.NO_BUTTON),
        ("link", {"connected": False}, Fault.NO_LINK),
        ("link", {"name_taken": True}, Fault.NAME_TAKEN),
        ("recognizer", {"real_time_factor": 1.2}, Fault.TOO_SLOW),
        ("engine", {"fallback": True}, Fault.ENGINE_FALLBACK),
        ("updates", {"fault": "/etc/voxline/root.json: No such file or directory"}, Fault.NO_UPDATES),
        ("link", {"outbox_fault": "disk I/O error"}, Fault.NO_OUTBOX),
        ("system", {"memory_available_bytes": 2**20}, Fault.MEMORY_LOW),
        ("system", {"disk_free_bytes": 2**20}, Fault.DISK_LOW),
        ("system", {"temperature_celsius": {"soc": 99.0, "gpu": 40.0}}, Fault.HOT),
    ],
)
def test_each_fault_degrades(part: str, changes: dict[str, object], fault: Fault) -> None:
    snapshot = replace(WELL, **{part: replace(getattr(WELL, part), **changes)})
    assert assess(snapshot) == (fault,)
    assert health(snapshot, assess(snapshot), NOW).status is Status.DEGRADED


def test_faults_come_worst_first() -> None:
    snapshot = replace(
        WELL,
        audio=replace(WELL.audio, stuck=True),
        engine=replace(WELL.engine, fallback=True),
        link=replace(WELL.link, connected=False),
    )
    assert assess(snapshot) == (Fault.AUDIO_STUCK, Fault.NO_LINK, Fault.ENGINE_FALLBACK)


def test_a_load_around_the_limit_is_told_once() -> None:
    """Each change is a retained state and a report more."""
    faults: tuple[Fault, ...] = ()
    told = []
    for load in (0.95, 1.01, 0.99, 1.02, 0.91, 1.0, 0.89, 0.95, 1.0, 1.01):
        snapshot = replace(WELL, recognizer=replace(WELL.recognizer, real_time_factor=load))
        faults = assess(snapshot, faults)
        told.append(faults == (Fault.TOO_SLOW,))
    assert told == [False, True, True, True, True, True, False, False, False, True]


def test_report_survives_the_wire() -> None:
    report = health(WELL, (), NOW)
    assert Health.model_validate_json(report.model_dump_json()) == report
