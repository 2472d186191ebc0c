"""The queue of the thread that decides. A flood from the network costs what merely passes, and nothing else.

What the station's own parts say is little, follows from what was spoken, and is never lost. Of what the
plant keeps on a topic (a lockout, a machine state) the newest counts: it takes the place of an older one that
waits. What passes (answers, claims) is refused while too much of it waits, and lost claims are told of.
"""

import queue
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Hashable
from dataclasses import replace
from enum import Enum, auto

from agent.commands.events import ClaimsLost, Reconnected
from agent.messaging.contract import Claim, Inhibit, MachineState, State, Talk
from agent.messaging.inbound import Admitted
from agent.messaging.payload import Payload, Quality
from agent.messaging.understand import MAX_PEERS

MAX_PASSING = 256
"""Messages that may wait at once."""


class _Lane(Enum):
    """What an item is, as to how many may wait."""

    OWN = auto()
    PLANT = auto()
    """Its lockout, its machines' states: as many as the grammar names."""
    PEERS = auto()
    BUTTON = auto()
    PASSING = auto()

    @classmethod
    def of(cls, payload: Payload) -> "_Lane":
        """Choose the lane of a message."""
        if isinstance(payload, State):
            return cls.PEERS
        if payload.channel.retain:
            return cls.PLANT
        return cls.BUTTON if isinstance(payload, Talk) else cls.PASSING


class Inbox:
    """Thread-safe; first in, first out, but for what takes the place of an older one."""

    def __init__(self) -> None:
        # Each with the monotonic time at which it came.
        self._waiting: OrderedDict[tuple[_Lane, Hashable], list[tuple[object, float]]] = OrderedDict()
        self._counts = Counter[_Lane]()
        self._number = 0
        self._changed = threading.Condition()

    def put(self, item: object) -> None:
        """Let one of the station's own parts say something."""
        with self._changed:
            self._append(_Lane.OWN, item)

    def offer(self, message: Admitted) -> None:
        """Take a message from the network.

        Raises:
            queue.Full: it is not taken, for too many wait.
        """
        lane = _Lane.of(message.payload)
        with self._changed:
            if lane is not _Lane.PASSING:
                self._replace(lane, message)
            elif self._counts[lane] < MAX_PASSING:
                self._append(lane, message)
            else:
                if isinstance(message.payload, Claim):
                    self._add((_Lane.OWN, ClaimsLost), ClaimsLost())
                raise queue.Full

    def reconnect(self, connection: int) -> None:
        """Tell of a new connection: what topics kept before it, and nobody saw, is out of date.

        A lockout is not: it holds over an outage, though the broker may have forgotten it.
        """
        with self._changed:
            for key in [key for key in self._waiting if key[0] in (_Lane.PLANT, _Lane.PEERS)]:
                if _locks_out(self._waiting[key][-1][0]):
                    del self._waiting[key][:-1]
                    continue
                del self._waiting[key]
                self._counts[key[0]] -= 1
            key = (_Lane.OWN, Reconnected)
            self._counts[_Lane.OWN] -= self._waiting.pop(key, None) is not None
            self._add(key, Reconnected(connection))

    def get(self, timeout_s: float) -> tuple[object, float]:
        """Wait for the next item.

        Returns:
            The item, and for how long it has waited, seconds.

        Raises:
            queue.Empty: none came in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting, timeout_s):
                raise queue.Empty
            key, items = next(iter(self._waiting.items()))
            item, came_s = items.pop(0)
            if items:
                self._waiting.move_to_end(key)  # it may say ever more: the rest must come out too
            else:
                del self._waiting[key]
                self._counts[key[0]] -= 1
            return item, time.monotonic() - came_s

    def _append(self, lane: _Lane, item: object) -> None:
        self._number += 1
        self._add((lane, self._number), item)

    def _add(self, key: tuple[_Lane, Hashable], item: object) -> None:
        if key not in self._waiting:
            self._waiting[key] = [(item, time.monotonic())]
            self._counts[key[0]] += 1
            self._changed.notify()

    def _replace(self, lane: _Lane, message: Admitted) -> None:
        key = (lane, (type(message.payload), message.station, message.name))
        waiting = self._waiting.get(key)
        if waiting is None:
            if lane is _Lane.PEERS and self._counts[lane] >= MAX_PEERS:
                raise queue.Full
            self._add(key, message)
            return
        *unseen, newest = [item for item, _ in waiting if isinstance(item, Admitted)]
        if passed_over := _passed_over(newest, message):
            unseen.append(passed_over)
        # Of two the one that was said later: it tells which of the rest were said too early to count.
        kept = [*sorted(unseen, key=lambda item: item.payload.time)[-1:], message]
        waiting[:] = [(item, time.monotonic()) for item in kept]


def _locks_out(item: object) -> bool:
    return isinstance(item, Admitted) and isinstance(item.payload, Inhibit) and item.payload.active


def _passed_over(message: Admitted, newer: Admitted) -> Admitted | None:
    """Give what must be known of a message that nobody saw before the next one of its topic came.

    A lockout, however short, voids questions; so does a machine state that changed, for it was unknown then.
    And what was said later than the next one counts against it.
    """
    disordered = newer.payload.time < message.payload.time
    match message.payload, newer.payload:
        case Inhibit(active=True), Inhibit(active=active) if disordered or not active:
            return message
        case MachineState() as old, MachineState() as new if _facts(old) != _facts(new):
            return replace(message, payload=old.model_copy(update={"quality": Quality.BAD}))
        case MachineState(), MachineState() if disordered:
            return message
    return None


def _facts(state: MachineState) -> tuple[type, object, Quality]:
    return type(state.value), state.value, state.quality
