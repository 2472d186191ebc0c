"""Make payloads out of what the other rooms know. Pure."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime

from agent.grammar.schema import Scalar
from agent.health.report import assess
from agent.health.snapshot import Snapshot
from agent.messaging.contract import Health, Heard, Meaning, Quality, Status, Word
from agent.recognition.hypothesis import Hypothesis


def heard(hypothesis: Hypothesis) -> Heard:
    """Say what was understood and how surely."""
    worst, rival = hypothesis.worst_word, hypothesis.runner_up
    return Heard(
        text=hypothesis.text,
        probability=hypothesis.probability,
        worst_word=Word(text=worst.text, score=worst.score) if worst else None,
        margin=hypothesis.margin,
        runner_up=meaning(rival.command, rival.slots) if rival else None,
        snr_db=hypothesis.snr_db,
    )


def meaning(command: str, slots: Mapping[str, Scalar]) -> Meaning:
    """Name a command and its slots."""
    return Meaning(command=command, slots=dict(slots))


def health(snapshot: Snapshot, now: datetime) -> Health:
    """Judge a snapshot and put it into a report."""
    faults = assess(snapshot)
    return Health(
        time=now,
        quality=Quality.UNCERTAIN if snapshot.system.clock_synchronized is False else Quality.GOOD,
        status=Status.DEGRADED if faults else Status.ONLINE,
        faults=tuple(fault.value for fault in faults),
        **{field.name: getattr(snapshot, field.name) for field in fields(snapshot)},
    )
