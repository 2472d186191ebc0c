"""Decide whether a message from the network may be obeyed. Pure: message and time in, a verdict out."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache

from pydantic import ValidationError

from agent.commands.decision import Detail
from agent.errors import first_fault
from agent.messaging.channel import MAX_INBOUND_BYTES, Senders
from agent.messaging.contract import KINDS, Inhibit, MachineState, Talk
from agent.messaging.namespace import Namespace
from agent.messaging.payload import Payload, Quality


class Refusal(StrEnum):
    """Why a message is not obeyed."""

    UNKNOWN_TOPIC = "unknown_topic"
    TOO_LARGE = "too_large"
    RETAINED = "retained"
    """It was said before the station listened, and obeying it now would be dangerous."""
    EXPIRED = "expired"
    """Its time to live is over, or its time is too far from the station's clock."""
    MALFORMED = "malformed"
    """Not MQTT, not JSON, or not what the contract says."""
    DOUBTFUL = "doubtful"
    """It frees commands, and says itself that it cannot be relied on."""
    FLOOD = "flood"
    """Too many messages wait already."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message as it came."""

    topic: str
    payload: bytes
    retain: bool
    expiry_s: int | None = None
    """What the broker left of its time to live; None: it does not expire."""
    malformed: bool = False
    """Its packet cannot be read beyond the topic."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A message that may be obeyed."""

    payload: Payload
    station: str
    """At whose topic it came: of a claim or a state, who said it."""
    name: str = ""
    """Of a machine state: which."""


def judge(arrival: Arrival, namespace: Namespace, now: datetime) -> Admitted | Refusal:
    """Check a message against the contract: give what it says, or why it is refused."""
    address = _recognize(arrival.topic, namespace)
    if address is None:
        return Refusal.UNKNOWN_TOPIC
    kind, station, name = address
    if arrival.malformed:
        return Refusal.MALFORMED
    if len(arrival.payload) > MAX_INBOUND_BYTES:
        return Refusal.TOO_LARGE
    if arrival.retain and not kind.channel.retain:
        return Refusal.RETAINED
    if arrival.expiry_s == 0:
        return Refusal.EXPIRED
    try:
        payload = _read(kind, arrival)
    except ValueError:
        return Refusal.MALFORMED
    if isinstance(payload, Inhibit) and not payload.active and payload.quality is not Quality.GOOD:
        return Refusal.DOUBTFUL
    max_age_s = kind.channel.max_age_s
    if max_age_s is not None and abs((now - payload.time).total_seconds()) > max_age_s:
        return Refusal.EXPIRED
    return Admitted(payload, station, name)


def fault(arrival: Arrival, namespace: Namespace) -> str:
    """Say what is wrong with a message that is malformed, for people."""
    address = _recognize(arrival.topic, namespace)
    if address is None or arrival.malformed:
        return "its packet cannot be read"
    try:
        _read(address[0], arrival)
    except ValidationError as error:
        return first_fault(error)
    except Exception as error:  # noqa: BLE001 - what `judge` stumbled over must not end the link here
        return str(error)
    return ""


def _read(kind: type[Payload], arrival: Arrival) -> Payload:
    """Read a payload. Raises `ValueError` if it is not what the contract says."""
    # Strictly: "no" and 0 are not `false`, they free nothing.
    payload = kind.model_validate_json(arrival.payload, strict=True)
    json.loads(arrival.payload, object_pairs_hook=_require_unique)  # pydantic saw that it is not deep
    return payload


def _require_unique(fields: Sequence[tuple[str, object]]) -> None:
    """Refuse two values for one name, of which readers take now the first, now the last (RFC 8259, 4)."""
    seen: set[str] = set()
    for name, _ in fields:
        if name in seen:
            raise ValueError(f"`{name[:40]}` stands there twice")
        seen.add(name)


def feared(arrival: Arrival, refusal: Refusal, namespace: Namespace, now: datetime) -> Admitted | None:
    """Give what a message that was refused must be taken for all the same; None: for nothing.

    Who says something on the lockout topic may lock out, who says it of a machine's state takes back what was
    said before, and a button may have come up, however late that is told: to go on as if nothing had been
    said would be dangerous. An empty message, by which a broker forgets what it kept, locks nobody out.
    """
    address = _recognize(arrival.topic, namespace)
    if address is None:
        return None
    kind, station, name = address
    unreadable = refusal in (Refusal.MALFORMED, Refusal.TOO_LARGE, Refusal.DOUBTFUL)
    if kind is Talk and (unreadable or refusal is Refusal.EXPIRED):
        return Admitted(Talk(time=now, pressed=False), station)
    if not unreadable:
        return None
    if kind is Inhibit and (arrival.payload or arrival.malformed):
        return Admitted(Inhibit(time=now, active=True, who="", why=Detail.UNREADABLE.value), station)
    if kind is MachineState:
        return Admitted(MachineState(time=now, quality=Quality.BAD, value=False), station, name)
    return None


def _recognize(topic: str, namespace: Namespace) -> tuple[type[Payload], str, str] | None:
    """Find the kind of payload that belongs on a topic, the station it is of, and the rest of the topic."""
    for kind, pattern in _patterns(namespace):
        if match := pattern.fullmatch(topic):
            found = match.groupdict()
            return kind, found.get("station", namespace.station), found.get("topic", "")
    return None


@lru_cache(maxsize=16)
def _patterns(namespace: Namespace) -> list[tuple[type[Payload], re.Pattern[str]]]:
    patterns = []
    for kind in KINDS:
        if kind.channel.heard is Senders.NONE:
            continue
        station = r"(?P<station>[^/]+)" if kind.channel.heard is Senders.ALL else re.escape(namespace.station)
        address = kind.channel.address.format(
            cell=re.escape(namespace.cell), station=station, topic=r"(?P<topic>.+)"
        )
        patterns.append((kind, re.compile(address)))
    return patterns
