"""What the audit log holds of an effect; pure."""

from pydantic import JsonValue

from agent.commands.decision import Decision
from agent.commands.effects import AnswerSettled, Decided, DeliverySettled, Effect, InhibitChanged
from agent.recognition.hypothesis import Hypothesis


def record(effect: Effect) -> dict[str, JsonValue] | None:
    """Describe an effect for the audit log; None: it is of no account there."""
    match effect:
        case Decided(decision):
            return _decision(decision)
        case DeliverySettled(order, fate, reason, latency_s):
            return {
                "kind": "delivery",
                "order": str(order.id),
                "command": order.command,
                "fate": fate.value,
                "reason": reason,
                "latency_s": round(latency_s, 3),
            }
        case AnswerSettled(order, answer, reason, latency_s):
            return {
                "kind": "answer",
                "order": str(order.id),
                "command": order.command,
                "answer": answer.value,
                "reason": reason,
                "latency_s": round(latency_s, 3),
            }
        case InhibitChanged(active, who):
            return {"kind": "inhibit", "active": active, "who": who, "why": effect.text}
        case _:
            return None


def _decision(decision: Decision) -> dict[str, JsonValue]:
    objection, order, origin = decision.objection, decision.order, decision.origin
    return {
        "kind": "decision",
        "verdict": decision.verdict.value,
        "reason": objection.reason.value if objection else None,
        "detail": objection.text if objection else "",
        "order": str(order.id) if order else None,
        "risk": order.risk.value if order else None,
        "heard": _heard(decision.heard),
        "station": origin.station,
        "grammar": origin.grammar,
        "bundle": origin.bundle,
    }


def _heard(heard: Hypothesis) -> dict[str, JsonValue]:
    worst, rival = heard.worst_word, heard.runner_up
    return {
        "text": heard.text,
        "command": heard.command,
        "slots": dict(heard.slots),
        "probability": round(heard.probability, 4),
        "worst_word": {"text": worst.text, "score": round(worst.score, 3)} if worst else None,
        "margin": None if heard.margin is None else round(heard.margin, 3),
        "runner_up": {"command": rival.command, "slots": dict(rival.slots)} if rival else None,
        "snr_db": None if heard.snr_db is None else round(heard.snr_db, 1),
        "seconds": round(heard.end_s - heard.start_s, 3),
    }
