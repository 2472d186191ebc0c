"""Where messages come in: what may be obeyed goes on, what is refused is counted."""

import queue
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from agent.messaging.contract import MachineState
from agent.messaging.inbound import Admitted, Arrival, Refusal, fault, feared, judge
from agent.messaging.namespace import Namespace

_TOPICS = 100
"""Of so many it is remembered how often they were refused; the rest count as one."""

log = structlog.get_logger()


class Gate:
    """Judges what arrives. For the link's thread alone.

    Args:
        namespace: the station's topics.
        on_inbound: is given what may be obeyed; may raise `queue.Full`.
    """

    def __init__(self, namespace: Namespace, on_inbound: Callable[[Admitted], None]) -> None:
        self._namespace, self._on_inbound = namespace, on_inbound
        self.refused: Counter[str] = Counter()
        """By reason."""
        self._told: Counter[tuple[Refusal, str]] = Counter()
        self.watched: frozenset[str] = frozenset()
        """Machine states that are asked for; a faulty broker could invent others without end."""

    def pass_on(self, arrival: Arrival) -> None:
        """Hand a message on, or refuse it; whatever it holds, this returns."""
        now = datetime.now(UTC)
        verdict = self._judged(arrival, now)
        admitted = (
            verdict if isinstance(verdict, Admitted) else feared(arrival, verdict, self._namespace, now)
        )
        if admitted and isinstance(admitted.payload, MachineState) and admitted.name not in self.watched:
            verdict, admitted = Refusal.UNKNOWN_TOPIC, None
        if isinstance(verdict, Refusal):
            self._refuse(arrival, verdict)
        if admitted is None:
            return
        try:
            self._on_inbound(admitted)
        except queue.Full:
            self._refuse(arrival, Refusal.FLOOD)

    def _judged(self, arrival: Arrival, now: datetime) -> Admitted | Refusal:
        try:
            return judge(arrival, self._namespace, now)
        except Exception:  # a fault of ours, which a message that is retained must not turn into an outage
            log.exception("message_not_judged", topic=arrival.topic[:200])
            return Refusal.MALFORMED

    def _refuse(self, arrival: Arrival, reason: Refusal) -> None:
        self.refused[reason.value] += 1
        topic = arrival.topic[:200]
        known = (reason, topic) in self._told or len(self._told) < _TOPICS
        key = (reason, topic if known else "")
        self._told[key] += 1
        count = self._told[key]
        if count in (1, 10, 100) or count % 1000 == 0:  # a flood must not fill the journal
            detail = {"fault": fault(arrival, self._namespace)} if reason is Refusal.MALFORMED else {}
            log.warning("message_refused", reason=reason.value, topic=topic, count=count, **detail)
