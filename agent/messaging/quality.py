"""What the times in a payload are worth."""

from typing import TypeVar

from agent.health.probes import clock_synchronized
from agent.messaging.payload import Payload, Quality

_P = TypeVar("_P", bound=Payload)


def by_this_clock(payload: _P) -> _P:
    """Say of a payload that its times may be off, where nothing sets this machine's clock."""
    if clock_synchronized() is False:
        return payload.model_copy(update={"quality": Quality.UNCERTAIN})
    return payload
