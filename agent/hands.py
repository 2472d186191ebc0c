"""What the policy wants done, done: the one way from an effect to the world."""

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import structlog

from agent.commands import effects
from agent.commands.audit import AuditLog
from agent.commands.decision import Decision, Verdict
from agent.commands.order import Order
from agent.commands.records import record
from agent.errors import AuditError
from agent.grammar.schema import CONFIRM
from agent.health.report import Fault
from agent.hearing import Hearing
from agent.messaging import compose, contract
from agent.messaging.client import Link
from agent.panel.panel import Panel
from agent.vitals import Vitals

SYNC_S = 1.0
"""How often the audit log is made to survive a power cut."""

log = structlog.get_logger()


class Hands:
    """Does effects, in the agent's thread, and keeps what the state topic says.

    Args:
        link: takes commands, events and the state.
        hearing: told what can be said.
        vitals: count decisions.
        audit: gets an entry of each; closed by `close`.
        panel: shows and sounds outcomes.
        post: puts the fates of commands into the agent's inbox. Any thread.
    """

    def __init__(
        self,
        link: Link,
        hearing: Hearing,
        vitals: Vitals,
        audit: AuditLog,
        panel: Panel,
        post: Callable[[object], None],
    ) -> None:
        self._link, self._hearing, self._vitals = link, hearing, vitals
        self._audit, self._panel, self._post = audit, panel, post
        self.connection = 0
        """Of the link: what allows orders was heard on it, so they go out on it or not at all."""
        self._next_sync_s = 0.0
        self._text, self._armed = "", False
        self._faults: tuple[Fault, ...] = ()

    def do(self, effect: effects.Effect) -> None:
        """Do it, then write the audit log: a command must not wait for a disk."""
        self._do(effect)
        fields = record(effect)
        if fields is not None:
            with _audit_failures_logged():
                self._audit.append(fields, datetime.now(UTC))

    def degrade(self, faults: tuple[Fault, ...]) -> None:
        """Say what the station lacks now, worst first."""
        self._faults = faults
        self._publish_state()

    def sync(self, now_s: float) -> None:
        """Make the audit log survive a power cut; call it with every tick."""
        if now_s >= self._next_sync_s:
            self._next_sync_s = now_s + SYNC_S
            with _audit_failures_logged():
                self._audit.sync()

    def close(self) -> None:
        """Close the audit log."""
        self._audit.close()

    def _do(self, effect: effects.Effect) -> None:
        clock = compose.Clock(datetime.now(UTC), time.monotonic())
        match effect:
            case effects.Publish(order):
                self._send(order, clock)
            case effects.Decided(decision):
                self._report(decision, clock)
            case effects.Ask():
                self._link.publish(compose.question(effect, clock))
            case effects.DeliverySettled():
                self._link.publish(compose.delivery(effect, clock))
            case effects.AnswerSettled():
                self._link.publish(compose.settled(effect, clock))
            case effects.InhibitChanged():
                self._link.publish(compose.inhibition(effect, clock))
            case effects.Claim(order):
                self._link.publish(compose.claim(order, clock))
            case effects.Armed(until_s):
                self._armed = until_s is not None
                self._panel.arm(armed=self._armed)
                self._publish_state()
            case effects.Announce(text, tone):
                self._text = text
                self._publish_state()
                if tone:
                    self._panel.show(tone, text)
            case effects.Enable(commands):
                self._hearing.enable(commands)
                self._panel.ask(asking=CONFIRM in commands)  # it can be said while a question stands

    def _send(self, order: Order, clock: compose.Clock) -> None:
        command = compose.command(order, clock)
        delivered = self._link.command(command, order.topic, order.expires_s, self.connection)
        delivered.add_done_callback(lambda done: self._post(done.result()))

    def _report(self, decision: Decision, clock: compose.Clock) -> None:
        payload = compose.decided(decision, clock)
        if payload:
            self._link.publish(payload)
        if decision.verdict is Verdict.ACCEPT:
            self._vitals.accepts += 1
        elif decision.verdict is Verdict.REJECT and decision.objection:
            self._vitals.rejects[decision.objection.reason] += 1
        log.info(
            "decided",
            verdict=decision.verdict,
            text=decision.heard.text,
            probability=round(decision.heard.probability, 3),
            reason=decision.objection.reason if decision.objection else None,
        )

    def _publish_state(self) -> None:
        self._link.publish(
            contract.State(
                time=datetime.now(UTC),
                status=contract.Status.DEGRADED if self._faults else contract.Status.ONLINE,
                reason=", ".join(self._faults),
                text=self._text,
                armed=self._armed,
            )
        )


@contextlib.contextmanager
def _audit_failures_logged() -> Iterator[None]:
    """A full disk must not stop commands; the audit log itself says later how many entries are missing."""
    try:
        yield
    except AuditError as error:
        log.error("audit_failed", reason=str(error))  # noqa: TRY400 - no bug of ours
