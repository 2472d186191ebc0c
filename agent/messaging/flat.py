"""Facts as flat values, one topic each: `.../value/snr_db` holds value, time and quality."""

from agent.grammar.schema import Scalar
from agent.messaging.contract import Value
from agent.messaging.facts import facts
from agent.messaging.payload import Payload


class FlatValues:
    """Takes what the station publishes and gives the values that changed."""

    def __init__(self) -> None:
        self._last: dict[str, Scalar | None] = {}

    def update(self, payload: Payload) -> list[tuple[str, Value]]:
        """Give name and value of each fact in `payload` that is new."""
        known = facts(payload)
        changed = {name: fact for name, fact in known.items() if self._last.get(name, ...) != fact}
        self._last |= changed
        return [
            (name, Value(time=payload.time, quality=payload.quality, value=fact))
            for name, fact in changed.items()
        ]
