"""Single facts out of what a station publishes, for SCADA systems that take values, not documents."""

from collections.abc import Mapping

from agent.grammar.schema import Scalar
from agent.messaging.contract import Accept, Health, State
from agent.messaging.payload import Payload

FACTS: Mapping[str, type[Scalar]] = {
    "status": str,
    "armed": bool,
    "text": str,
    "last_command": str,
    "last_probability": float,
    "faults": str,
    "inhibited": bool,
    "agent": str,
    "bundle": str,
    "grammar": str,
    "engine": str,
    "engine_fallback": bool,
    "inference_p95_seconds": float,
    "level_dbfs": float,
    "snr_db": float,
    "real_time_factor": float,
    "accepts_total": int,
    "rejects_total": int,
}
"""Every fact that there is, and what it is unless it is not known."""
_HAPPENED = frozenset({"last_command", "last_probability"})


def is_news(name: str, fact: object, before: object) -> bool:
    """Tell whether a fact is other than before, or happened once more."""
    return name in _HAPPENED or fact != before


def facts(payload: Payload) -> dict[str, Scalar | None]:
    """Return the facts in a payload by name; none in one that holds none."""
    match payload:
        case State():
            return {"status": payload.status.value, "armed": payload.armed, "text": payload.text}
        case Accept():
            return {"last_command": payload.meaning.command, "last_probability": payload.heard.probability}
        case Health():
            return {
                "faults": ",".join(payload.faults),
                "inhibited": payload.commands.inhibited,
                "agent": payload.versions.agent,
                "bundle": payload.versions.bundle,
                "grammar": payload.versions.grammar,
                "engine": payload.engine.name,
                "engine_fallback": payload.engine.fallback,
                "inference_p95_seconds": payload.engine.inference_p95_seconds,
                "level_dbfs": payload.audio.level_dbfs,
                "snr_db": payload.audio.snr_db,
                "real_time_factor": payload.recognizer.real_time_factor,
                "accepts_total": payload.recognizer.accepts_total,
                "rejects_total": sum(payload.recognizer.rejects_total.values()),
            }
    return {}
