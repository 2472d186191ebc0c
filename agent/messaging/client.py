"""The supervised link to the broker: it comes back by itself, and what it says about itself is true.

One thread owns the connection; others hand it messages through bounded queues. Commands are never kept for
later: each is sent at once over a live link or not at all, and its fate is known within its time to live.
"""

import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime

import structlog
from paho.mqtt.reasoncodes import ReasonCode

from agent.commands.events import Delivered, Fate
from agent.health.snapshot import LinkHealth
from agent.messaging.backlog import Backlog
from agent.messaging.channel import Senders
from agent.messaging.contract import KINDS, Command, MachineState, State, Status
from agent.messaging.flat import FlatValues
from agent.messaging.gate import Gate
from agent.messaging.inbound import Admitted
from agent.messaging.namespace import Message, Namespace
from agent.messaging.outbox import Outbox
from agent.messaging.payload import Payload
from agent.messaging.quality import by_this_clock
from agent.messaging.session import LinkDownError, Session
from agent.messaging.supervised import Supervised
from agent.messaging.twin import Twin
from agent.messaging.underway import Sending, Underway
from agent.messaging.unsent import Unsent
from agent.settings import Mqtt

QUEUE_LENGTH = 256
"""Events that may wait for the link's thread."""
WINDOW = 16
"""Unacknowledged messages under way; half of them are kept free for commands."""
RELEASE_MARGIN_S = 0.1
FAREWELL_S = 1.0
_IDLE_S = 0.5
_NOT_AUTHORIZED = 0x87

log = structlog.get_logger()


class Link:
    """The station's connection to its broker.

    Args:
        settings: the broker.
        namespace: the station's topics.
        on_inbound: called in the link's thread with each message that may be obeyed; may raise `queue.Full`.
        on_up: called in the link's thread with each connection that stands, counted from 1 on.
        outbox: holds events until the broker has them; without it they are dropped while there is no link.
        mirror: is given all that is published by `publish`; may be called in any thread.
    """

    def __init__(
        self,
        settings: Mqtt,
        namespace: Namespace,
        on_inbound: Callable[[Admitted], None] = lambda _: None,
        on_up: Callable[[int], None] = lambda _: None,
        outbox: Outbox | None = None,
        mirror: Callable[[Payload], None] | None = None,
    ) -> None:
        self._settings = settings
        self._namespace = namespace
        self._on_inbound, self._on_up = on_inbound, on_up
        self._backlog = Backlog(outbox)
        self._mirror = mirror
        self._flat = FlatValues() if settings.flat_values else None
        self._told: set[str] = set()
        self._lock = threading.Lock()
        self._commands: deque[Sending] = deque()
        self._events = Unsent(QUEUE_LENGTH)
        self._retained: dict[str, Message] = {}
        self._underway: dict[int, Underway] = {}
        self._supervised = Supervised("link", settings.reconnect_spread_s, self._serve, self._explain)
        self._connected = False
        self._changed_s = time.monotonic()
        self._reason = ""
        self._counts: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._gate = Gate(namespace, self._admit)
        self._twin = Twin(namespace.topic(State))
        self._subscribed: frozenset[str] = frozenset()

    def start(self) -> None:
        """Begin to connect, in the background."""
        self._supervised.start()

    def stop(self) -> None:
        """Publish `offline`, disconnect and end the thread; what could not leave within 1 s is dropped."""
        self._supervised.stop()

    def publish(self, payload: Payload) -> bool:
        """Publish a state, report or event.

        Of a retained kind the latest is kept and published again after an outage; what the contract says to
        keep goes through the outbox; anything else is dropped and counted while there is no link.

        Returns:
            Whether it is kept, or on its way; false: it is lost.
        """
        payload = by_this_clock(payload)
        if isinstance(payload, State):
            self._twin.say(payload)
        taken = self._publish(self._namespace.message(payload))
        if self._mirror:
            self._mirror(payload)
        if self._flat:
            for name, value in self._flat.update(payload):
                self._publish(self._namespace.message(value, name))
        return taken

    def _publish(self, message: Message) -> bool:
        if self._backlog.keep(message):
            self._supervised.nudge()
            return True
        with self._lock:
            if message.retain:
                self._retained[message.topic] = message
            if not self._connected:
                self._dropped["no_link"] += not message.retain
                return message.retain
            self._dropped["queue_full"] += self._events.add(message)
        self._supervised.nudge()
        return True

    def command(
        self, command: Command, suffix: str, deadline_s: float, connection: int | None = None
    ) -> "Future[Delivered]":
        """Publish a command below `suffix`.

        The future tells its fate, at the latest at `deadline_s` (monotonic), when its time to live ends.
        With `connection` it goes out on that one only: what was known when it was decided on, such as that
        nobody has locked out, was heard there.
        """
        message = self._namespace.message(by_this_clock(command), suffix)
        sending = Sending(command.id, message, deadline_s, Future())
        with self._lock:
            connected = self._connected and connection in (None, self._counts["connects"])
            if connected:
                self._commands.append(sending)
        if connected:
            self._supervised.nudge()
        else:
            sending.settle(Fate.NOT_SENT, "no link to the broker")
        return sending.delivered

    def watch(self, states: frozenset[str]) -> None:
        """Hear these machine states, named as in a grammar's `requires`, and no others."""
        self._gate.watched = states
        self._supervised.nudge()

    def health(self) -> LinkHealth:
        """Describe the link."""
        with self._lock:
            return LinkHealth(
                connected=self._connected,
                name_taken=self._twin.present(time.monotonic()),
                since_seconds=time.monotonic() - self._changed_s,
                reason=self._reason,
                connects_total=self._counts["connects"],
                published_total=self._counts["published"],
                dropped_total=dict(self._dropped) | {"ring": self._backlog.dropped},
                outbox_messages=self._backlog.depth,
                outbox_fault=self._backlog.fault,
                refused_total=dict(self._gate.refused),
                handler_failures_total=self._counts["handler_failures"],
            )

    def _explain(self, reason: str) -> None:
        self._reason = reason

    def _serve(self) -> None:
        """Connect and stay connected until told to stop; a lost link raises."""
        will = _offline("link_lost")
        self._twin.tries(will)
        session = Session(
            self._settings,
            client_id=self._namespace.base.replace("/", ":"),
            will=self._namespace.message(will),
            subscriptions=self._filters(),
            deliver=self._gate.pass_on,
            release=self._may_release,
            acknowledge=self._settle,
            vital=[self._namespace.filter(kind) for kind in KINDS if kind.channel.vital],
        )
        self._supervised.stand()
        self._twin.stand(will, time.monotonic())
        with self._lock:
            self._counts["connects"] += 1
            self._connected, self._changed_s = True, time.monotonic()
            self._events.add(*self._retained.values())
        self._subscribed = frozenset()
        self._backlog.rewind()
        self._told.clear()
        log.info("link_up", host=self._settings.host, port=self._settings.port)
        try:
            self._guard(self._on_up, self._counts["connects"])
            while not self._supervised.stopping.is_set():
                self._turn(session)
            self._farewell(session)
        finally:
            session.abort()
            self._forget()

    def _turn(self, session: Session) -> None:
        """Send what waits, keep the deadlines, then wait for the network."""
        self._listen(session)
        now_s = time.monotonic()
        window = min(WINDOW, session.receive_maximum)
        self._send_commands(session, now_s, window)
        # On a slow link a command's release must not queue behind a report.
        if not any(item.sending for item in self._underway.values()):
            self._send_events(session, now_s, max(1, window // 2))
            self._send_backlog(session, now_s, max(1, window // 2))
        nearest_s = min((item.deadline_s for item in self._underway.values()), default=now_s + _IDLE_S)
        if nearest_s <= now_s:
            raise LinkDownError("the broker did not acknowledge in time", by_broker=False)
        if self._twin.unheard(now_s):
            raise LinkDownError("the broker keeps `state` from this station: see its rules", by_broker=True)
        self._supervised.wait(session, min(_IDLE_S, nearest_s - now_s))

    def _filters(self) -> list[str]:
        """List what every station hears, whatever its grammar."""
        heard = [kind for kind in KINDS if kind.channel.heard is not Senders.NONE]
        return [self._namespace.filter(kind) for kind in heard if not kind.channel.suffixed]

    def _listen(self, session: Session) -> None:
        """Follow the machine states that are watched now."""
        watched = self._gate.watched
        for change, names in (
            (session.subscribe, watched - self._subscribed),
            (session.unsubscribe, self._subscribed - watched),
        ):
            if names:
                change([self._namespace.filter(MachineState, name) for name in sorted(names)])
        self._subscribed = watched

    def _send_commands(self, session: Session, now_s: float, window: int) -> None:
        while self._commands:
            sending = self._commands[0]
            remaining_s = sending.deadline_s - now_s
            if remaining_s > 0 and len(self._underway) >= window:
                return
            self._commands.popleft()
            if remaining_s <= 0:
                sending.settle(Fate.NOT_SENT, "its time to live ended before it left")
                continue
            # Whole seconds: rounded down, since `expires` in the payload says it exactly.
            message = replace(sending.message, expiry_s=max(1, int(remaining_s)))
            try:
                message_id = session.publish(message)
            except ValueError as error:
                sending.settle(Fate.REFUSED, str(error))
            except LinkDownError as error:
                sending.settle(Fate.UNCONFIRMED, error.reason)
                raise
            else:
                self._underway[message_id] = Underway(message.topic, now_s, sending.deadline_s, sending)

    def _send_events(self, session: Session, now_s: float, window: int) -> None:
        while len(self._underway) < window and (message := self._events.take()):
            self._say(session, message, now_s)

    def _send_backlog(self, session: Session, now_s: float, window: int) -> None:
        for entry in self._backlog.take(max(0, window - len(self._underway)), now_s):
            if not self._say(session, entry.message, now_s, entry.id):
                self._backlog.done(entry.id)  # it would stand before all others for ever

    def _say(self, session: Session, message: Message, now_s: float, kept: int | None = None) -> bool:
        """Send what is no command; false: the broker does not take it, and it would end each connection."""
        try:
            message_id = session.publish(message)
        except ValueError as error:
            self._not_taken(message.topic, str(error))
            return False
        deadline_s = now_s + self._settings.keepalive_s / 2
        self._underway[message_id] = Underway(message.topic, now_s, deadline_s, kept=kept)
        return True

    def _not_taken(self, topic: str, reason: str) -> None:
        self._dropped["refused_by_broker"] += 1
        if topic not in self._told:  # a report comes every few seconds
            self._told.add(topic)
            log.warning("message_not_taken", topic=topic, reason=reason)

    def _may_release(self, message_id: int) -> bool:
        """Tell whether the broker, which holds a command, may still pass it on.

        The release takes as long to get there as the command did: at most what it took until the answer came.
        """
        underway = self._underway.get(message_id)
        if underway is None:
            return False
        now_s = time.monotonic()
        return now_s < underway.deadline_s - max(RELEASE_MARGIN_S, now_s - underway.sent_s)

    def _settle(self, message_id: int, code: ReasonCode) -> None:
        underway = self._underway.pop(message_id)
        self._counts["published"] += not code.is_failure
        if underway.kept is not None:
            self._backlog.done(underway.kept)
        if underway.sending:
            fate, reason = (Fate.REFUSED, str(code)) if code.is_failure else (Fate.ACKNOWLEDGED, "")
            underway.sending.settle(fate, reason)
        elif code.is_failure:
            self._not_taken(underway.topic, str(code))
            if code.value == _NOT_AUTHORIZED and underway.topic == self._namespace.topic(State):
                reason = f"the broker does not let this station say {underway.topic}: {code}"
                raise LinkDownError(reason, by_broker=True)  # else it took itself for well, and nobody saw it

    def _farewell(self, session: Session) -> None:
        goodbye = _offline("shutdown")
        self._twin.say(goodbye)
        self._events.add(self._namespace.message(goodbye))
        deadline_s = time.monotonic() + FAREWELL_S
        while (self._events or self._underway) and time.monotonic() < deadline_s:
            self._turn(session)
        if not self._events:  # after a goodbye the broker keeps the will to itself, and nobody says `offline`
            session.close()

    def _forget(self) -> None:
        """Settle every command and keep none, now that the connection is gone; count what else is lost."""
        with self._lock:
            self._connected, self._changed_s = False, time.monotonic()
            unsent, underway = list(self._commands), list(self._underway.values())
            retained = set(self._retained)
            self._dropped["link_lost"] += sum(this.topic not in retained for this in self._events.clear())
            self._dropped["link_lost"] += sum(item.sending is None and item.kept is None for item in underway)
            self._commands.clear()
            self._underway.clear()
        for sending in unsent:
            sending.settle(Fate.NOT_SENT, "the link broke before it left")
        for item in underway:
            if item.sending:
                item.sending.settle(Fate.UNCONFIRMED, "no acknowledgement")

    def _admit(self, admitted: Admitted) -> None:
        if isinstance(admitted.payload, State) and admitted.station == self._namespace.station:
            self._twin.hear(admitted.payload, time.monotonic())
        self._guard(self._on_inbound, admitted)

    def _guard(self, handler: Callable[..., None], *arguments: object) -> None:
        """Call a handler; its failure is its own and never the link's."""
        try:
            handler(*arguments)
        except queue.Full:
            raise
        except Exception:
            self._counts["handler_failures"] += 1
            log.exception("handler_failed", handler=getattr(handler, "__qualname__", repr(handler)))


def _offline(reason: str) -> State:
    return by_this_clock(State(time=datetime.now(UTC), status=Status.OFFLINE, reason=reason))
