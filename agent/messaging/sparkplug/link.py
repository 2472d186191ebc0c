"""A connection for Sparkplug alone: each has but one last will, and here that is a death certificate."""

import threading
import time
from datetime import UTC, datetime

import structlog
from paho.mqtt.reasoncodes import ReasonCode

from agent.messaging.inbound import Arrival
from agent.messaging.namespace import Namespace
from agent.messaging.payload import Payload
from agent.messaging.session import LinkDownError, NotTakenError, Session
from agent.messaging.sparkplug.node import Node
from agent.messaging.supervised import Supervised
from agent.settings import Mqtt

REBIRTH_S = 1.0
"""Births are at least so far apart, however often hosts ask for one."""
_IDLE_S = 0.5

log = structlog.get_logger()


class SparkplugLink:
    """Tells Sparkplug hosts what the station publishes.

    Args:
        settings: the broker.
        namespace: the station's place in the plant.
    """

    def __init__(self, settings: Mqtt, namespace: Namespace) -> None:
        self._settings = settings
        self._client_id = f"{namespace.base}/sparkplug".replace("/", ":")
        self._lock = threading.Lock()
        self._node = Node(namespace, datetime.now(UTC))
        self._birth_wanted = False
        self._next_birth_s = 0.0
        self._supervised = Supervised("sparkplug", settings.reconnect_spread_s, self._serve)

    def start(self) -> None:
        """Begin to connect, in the background."""
        self._supervised.start()

    def stop(self) -> None:
        """Publish the death certificate, disconnect and end the thread."""
        self._supervised.stop()

    def publish(self, payload: Payload) -> None:
        """Tell of the facts in what the station publishes. Any thread."""
        with self._lock:
            news = self._node.take(payload)
        if news:
            self._supervised.nudge()

    def _serve(self) -> None:
        with self._lock:
            death = self._node.connect(datetime.now(UTC))
        session = Session(
            self._settings,
            client_id=self._client_id,
            will=death,
            subscriptions=[self._node.commands],
            deliver=self._hear,
            release=lambda _: True,
            acknowledge=_pass_over,
            vital=[self._node.commands],
        )
        self._supervised.stand()
        log.info("sparkplug_up", host=self._settings.host, port=self._settings.port)
        self._birth_wanted, self._next_birth_s = True, 0.0  # nothing may come before it
        try:
            while not self._supervised.stopping.is_set():
                self._tell(session)
                self._supervised.wait(session, _IDLE_S)
            # Both are asked for: operational-behavior-edge-node-intentional-disconnect-ndeath, and
            # payloads-ndeath-will-message-publisher-disconnect-mqtt50.
            session.publish(death)
            session.close(with_will=True)
        finally:
            session.abort()

    def _tell(self, session: Session) -> None:
        now, now_s = datetime.now(UTC), time.monotonic()
        birth = self._birth_wanted and now_s >= self._next_birth_s
        if birth:
            self._birth_wanted, self._next_birth_s = False, now_s + REBIRTH_S
        if self._birth_wanted:  # no data before it: operational-behavior-data-commands-rebirth-action-1
            return
        with self._lock:
            message = self._node.birth(now) if birth else self._node.data(now)
        if message:
            try:
                session.publish(message)
            except NotTakenError as error:  # nor will it next time: after the whole pause, then
                raise LinkDownError(str(error), by_broker=True) from error

    def _hear(self, arrival: Arrival) -> None:
        if self._node.wants_birth(arrival.topic, arrival.payload):
            self._birth_wanted = True


def _pass_over(_message_id: int, _code: ReasonCode) -> None:
    """Nothing waits for answers here: what is lost is told with the next birth."""
