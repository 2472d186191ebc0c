"""Make payloads out of what the other rooms know. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from agent.commands.decision import Decision, Verdict
from agent.commands.effects import AnswerSettled, Ask, DeliverySettled, InhibitChanged
from agent.commands.order import Order
from agent.grammar.schema import Scalar
from agent.health.report import Fault
from agent.health.snapshot import Result, Snapshot
from agent.messaging.contract import (
    MAX_CLAIM_AGE_S,
    Accept,
    Claim,
    Command,
    Delivery,
    Health,
    Heard,
    Inhibition,
    Meaning,
    Question,
    Reject,
    SelfTested,
    Settled,
    Status,
    Word,
)
from agent.recognition.hypothesis import Hypothesis


@dataclass(frozen=True, slots=True)
class Clock:
    """One moment on both clocks, to tell the plant in UTC what the agent knows in monotonic seconds."""

    utc: datetime
    monotonic_s: float

    def at(self, moment_s: float) -> datetime:
        """Return when a monotonic moment was, or will be."""
        return self.utc + timedelta(seconds=moment_s - self.monotonic_s)


def command(order: Order, clock: Clock) -> Command:
    """Put an order on its way."""
    return Command(
        id=order.id,
        time=clock.at(order.spoken_s),
        expires=clock.at(order.expires_s),
        meaning=meaning(order.command, order.slots),
        value=order.value,
        risk=order.risk,
        heard=heard(order.heard),
    )


def claim(order: Order, clock: Clock) -> Claim:
    """Tell the other stations that this one heard the sentence of `order`."""
    age_s = min(max(0.0, clock.monotonic_s - order.heard.end_s), MAX_CLAIM_AGE_S)
    return Claim(time=clock.utc, command_id=order.id, command=order.command, age_seconds=age_s)


def decided(decision: Decision, clock: Clock) -> Accept | Reject | None:
    """Report a decision; of a question `question` tells, of a wake phrase the state."""
    if decision.verdict in (Verdict.CONFIRM, Verdict.WAKE):
        return None
    if decision.verdict is Verdict.ACCEPT and decision.order:
        order = decision.order
        return Accept(
            time=clock.utc,
            command_id=order.id,
            meaning=meaning(order.command, order.slots),
            heard=heard(order.heard),
        )
    hypothesis, objection = decision.heard, decision.objection
    return Reject(
        time=clock.utc,
        reason=objection.reason if objection else "unknown",
        detail=objection.text if objection else "",
        meaning=meaning(hypothesis.command, hypothesis.slots) if hypothesis.command else None,
        heard=heard(hypothesis),
    )


def question(ask: Ask, clock: Clock) -> Question:
    """Report that the operator is asked."""
    return Question(
        time=clock.utc,
        command_id=ask.order.id,
        meaning=meaning(ask.order.command, ask.order.slots),
        heard=heard(ask.order.heard),
        text=ask.text,
        until=clock.at(ask.until_s),
    )


def delivery(settled: DeliverySettled, clock: Clock) -> Delivery:
    """Report how far a command came."""
    return Delivery(
        time=clock.utc,
        command_id=settled.order.id,
        fate=settled.fate,
        reason=settled.reason,
        latency_seconds=settled.latency_s,
    )


def settled(answer: AnswerSettled, clock: Clock) -> Settled:
    """Report what the consumer of a command said."""
    return Settled(
        time=clock.utc,
        command_id=answer.order.id,
        answer=answer.answer,
        reason=answer.reason,
        latency_seconds=answer.latency_s,
    )


def inhibition(change: InhibitChanged, clock: Clock) -> Inhibition:
    """Report that commands were locked out or freed."""
    return Inhibition(time=clock.utc, active=change.active, who=change.who, why=change.text)


def self_tested(result: Result, now: datetime) -> SelfTested:
    """Report how a self-test ended."""
    return SelfTested(time=now, outcome=result.outcome, utterance=result.utterance, reason=result.reason)


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


def health(snapshot: Snapshot, faults: Collection[Fault], now: datetime) -> Health:
    """Put a snapshot and what it lacks, worst first, into a report."""
    return Health(
        time=now,
        status=Status.DEGRADED if faults else Status.ONLINE,
        faults=tuple(fault.value for fault in faults),
        **{field.name: getattr(snapshot, field.name) for field in fields(snapshot)},
    )
