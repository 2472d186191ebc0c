"""Another station of the same names, as after a disk was copied: the two push each other off the broker.

Not every broker says why it closes a connection. But a station hears its own state topic. Once its own word
has come back from there, all that it did not say is somebody else's; before, it may be its own of long ago.
And what was said before it started may be, whenever it comes: a broker that takes up an old copy of what it
kept, or a bridge to another, gives it once more.

Where nothing comes back the broker keeps states from the station, and it does not know which others are
there: all would act on what they heard. mosquitto's access list does so, and refuses no subscription.
"""

import math
import threading
import time
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog

from agent.messaging.contract import State

REMEMBERED = 1000
"""States that were said here, and so many wills of connections that did not come to be."""
ECHO_S = 10.0
"""Within this time of its connection a station hears its state."""
HOLD_S = 600.0
"""So long after its last sign a twin counts as there: they may take turns of minutes."""

log = structlog.get_logger()


class Twin:
    """Tells whether there is one.

    Args:
        topic: of the station's state, for the log.
    """

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._heard_itself = False
        self._said: OrderedDict[UUID, None] = OrderedDict()
        self._tried: OrderedDict[UUID, None] = OrderedDict()
        self._lock = threading.Lock()
        self._began_s = time.monotonic()
        self._seen_s = -math.inf
        self._spoke = False
        self._echo_due_s = math.inf

    def stand(self, will: State, now_s: float) -> None:
        """Note that a connection stands, with its will."""
        with self._lock:
            _remember(self._said, will)
            self._echo_due_s = now_s + ECHO_S if self._spoke else math.inf

    def say(self, state: State) -> None:
        """Remember what is said here. Any thread. From the next connection on it must come back."""
        with self._lock:
            _remember(self._said, state)
            self._spoke = True

    def tries(self, will: State) -> None:
        """Remember the will of a connection that may not come to be: an outage has thousands of these.

        They push out nothing that was said. Once the connection stands, `stand` takes its will.
        """
        with self._lock:
            _remember(self._tried, will)

    def hear(self, state: State, now_s: float) -> None:
        """Take what came on the station's own state topic."""
        self._echo_due_s = math.inf
        with self._lock:
            own = state.id in self._said or state.id in self._tried
        self._heard_itself |= own
        # By the clock as it is now: it may have been set since the start.
        began = datetime.now(UTC) - timedelta(seconds=now_s - self._began_s)
        if own or not self._heard_itself or state.time < began:
            return
        if not self.present(now_s):
            advice = "another station has the same names in [station]: give each its own"
            log.error("name_taken", topic=self._topic, advice=advice)
        self._seen_s = now_s

    def unheard(self, now_s: float) -> bool:
        """Tell whether the broker keeps the station's state from it."""
        return now_s > self._echo_due_s

    def present(self, now_s: float) -> bool:
        """Tell whether it gave a sign of life lately."""
        return now_s - self._seen_s < HOLD_S


def _remember(states: OrderedDict[UUID, None], state: State) -> None:
    states[state.id] = None
    if len(states) > REMEMBERED:
        states.popitem(last=False)
