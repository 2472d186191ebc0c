"""The same facts as flat values, one topic each: `.../value/snr_db` holds value, time and quality."""

from agent.grammar.schema import Scalar
from agent.messaging.contract import Accept, Health, State, Value
from agent.messaging.payload import Payload


class FlatValues:
    """Takes what the station publishes and gives the values that changed."""

    def __init__(self) -> None:
        self._last: dict[str, Scalar | None] = {}

    def update(self, payload: Payload) -> list[tuple[str, Value]]:
        """Give name and value of each fact in `payload` that is new."""
        facts = _facts(payload)
        changed = {name: fact for name, fact in facts.items() if self._last.get(name, ...) != fact}
        self._last |= changed
        return [
            (name, Value(time=payload.time, quality=payload.quality, value=fact))
            for name, fact in changed.items()
        ]


def _facts(payload: Payload) -> dict[str, Scalar | None]:
    match payload:
        case State():
            return {"status": payload.status.value, "armed": payload.armed, "text": payload.text}
        case Accept():
            return {"last_command": payload.meaning.command, "last_probability": payload.heard.probability}
        case Health():
            return {
                "faults": ",".join(payload.faults),
                "engine": payload.engine.name,
                "engine_fallback": payload.engine.fallback,
                "inference_p95_seconds": payload.engine.inference_p95_seconds,
                "level_dbfs": payload.audio.level_dbfs,
                "snr_db": payload.audio.snr_db,
                "real_time_factor": payload.recognizer.real_time_factor,
                "accepts_total": payload.recognizer.accepts_total,
                "rejects_total": sum(payload.recognizer.rejects_total.values()),
                "inhibited": payload.commands.inhibited,
            }
    return {}
