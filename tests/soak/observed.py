"""What a soak gives to be judged: messages, log lines, samples of the process, faults that were made."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from tests.soak.faults import Fault
from tests.soak.sound import Utterance


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the agent's log, when it was read."""

    at_s: float
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """The agent's process at one moment."""

    at_s: float
    resident_bytes: int
    unique_bytes: int
    """Of the resident ones, those that no other process shares."""
    threads: int
    descriptors: int
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message that the plant received. All times are monotonic."""

    topic: str
    at_s: float
    body: Mapping[str, Any]
    """Empty: no JSON."""
    said_s: float
    expires_s: float | None

    @classmethod
    def of(cls, topic: str, payload: bytes, at_s: float, wall_s: float) -> Self:
        """Read a message; `wall_s` is UTC minus monotonic."""
        try:
            body = json.loads(payload)
            said_s = datetime.fromisoformat(body["time"]).timestamp() - wall_s
            expires = body.get("expires")
            expires_s = datetime.fromisoformat(expires).timestamp() - wall_s if expires else None
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls(topic, at_s, {}, at_s, None)
        return cls(topic, at_s, body, said_s, expires_s)


@dataclass(frozen=True, slots=True)
class Run:
    """All that was recorded."""

    seed: int
    started_s: float
    ended_s: float
    exit_status: int
    ended_by_itself: bool
    spoken: Sequence[Utterance]
    blocks_lost: int
    faults: Sequence[Fault]
    arrivals: Sequence[Arrival]
    lines: Sequence[Line]
    samples: Sequence[Sample]
    audit: Sequence[Mapping[str, Any]]
    """Entries with `at_s`."""
    audit_faults: Sequence[str]

    def on(self, part: str) -> list[Arrival]:
        """What came on topics that hold `part`."""
        return [arrival for arrival in self.arrivals if part in arrival.topic and arrival.body]

    def decided(self, verdict: str) -> list[Mapping[str, Any]]:
        """What the agent's log says of decisions of a kind: it goes on while the disk is full."""
        lines = (line.fields for line in self.lines if line.fields.get("event") == "decided")
        return [fields for fields in lines if fields.get("verdict") == verdict]

    def broken(self, *kinds: str) -> list[Fault]:
        """Give the faults of these kinds."""
        return [fault for fault in self.faults if fault.kind in kinds]
