"""Decide whether a message from the network may be obeyed. Pure: message and time in, a verdict out."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import ValidationError

from agent.messaging.contract import INBOUND, MAX_INBOUND_BYTES, Namespace, Payload


class Refusal(StrEnum):
    """Why a message is not obeyed."""

    UNKNOWN_TOPIC = "unknown_topic"
    TOO_LARGE = "too_large"
    RETAINED = "retained"
    """It was said before the station listened, and obeying it now would be dangerous."""
    EXPIRED = "expired"
    """Its time to live is over, or its time is too far from the station's clock."""
    MALFORMED = "malformed"
    """Not JSON, or not what the contract says."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message as it came."""

    topic: str
    payload: bytes
    retain: bool
    expiry_s: int | None = None
    """What the broker left of its time to live; None: it does not expire."""


def judge(arrival: Arrival, namespace: Namespace, now: datetime) -> Payload | Refusal:
    """Check a message against the contract: give its payload, or why it is refused."""
    kind = next((kind for kind in INBOUND if namespace.topic(kind) == arrival.topic), None)
    if kind is None:
        return Refusal.UNKNOWN_TOPIC
    if len(arrival.payload) > MAX_INBOUND_BYTES:
        return Refusal.TOO_LARGE
    if arrival.retain and not kind.channel.retain:
        return Refusal.RETAINED
    if arrival.expiry_s == 0:
        return Refusal.EXPIRED
    try:
        payload = kind.model_validate_json(arrival.payload)
    except ValidationError:
        return Refusal.MALFORMED
    max_age_s = kind.channel.max_age_s
    if max_age_s is not None and abs((now - payload.time).total_seconds()) > max_age_s:
        return Refusal.EXPIRED
    return payload
