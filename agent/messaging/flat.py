"""Facts as flat values, one topic each: `.../value/snr_db` holds value, time and quality."""

from agent.grammar.schema import Scalar
from agent.messaging.contract import Value
from agent.messaging.facts import facts, is_news
from agent.messaging.payload import Payload, Quality


class FlatValues:
    """Takes what the station publishes and gives the values that changed, in themselves or in quality."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[Scalar | None, Quality]] = {}

    def update(self, payload: Payload) -> list[tuple[str, Value]]:
        """Give name and value of each fact in `payload` that is new."""
        known = {name: (fact, payload.quality) for name, fact in facts(payload).items()}
        changed = {name: fact for name, fact in known.items() if is_news(name, fact, self._last.get(name))}
        self._last |= changed
        return [
            (name, Value(time=payload.time, quality=quality, value=fact))
            for name, (fact, quality) in changed.items()
        ]
