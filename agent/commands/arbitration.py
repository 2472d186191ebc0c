"""Stations that hear the same sentence agree which one acts: the one whose claim the broker saw first.

All stations receive all claims, their own too, in the order in which the broker took them. So the first claim
for a command is the same for all, whatever their clocks say, and it costs one trip to the broker and back. A
station without peers does not wait for its own claim.
"""

from dataclasses import dataclass
from uuid import UUID

from agent.commands.events import Claimed
from agent.commands.order import Order

LEASE_S = 2.0
"""A claim holds for sentences that ended within this time of its own: it may come late, ends differ."""
AGREE_S = 1.0
"""Who does not get its own claim back within this time does not act: to others it may take longer still."""
MAX_CLAIMS = 1000
"""Claims that are remembered: no plant has as many in that time, so more are an attack or a fault."""
_FORGET_S = 120.0
"""No sentence is decided on so long after it ended: the longest time to live is half of it."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What became of an order that waited to know who acts."""

    order: Order
    winner: str | None = None
    """The other station that acts; None: this one does."""


@dataclass(frozen=True, slots=True)
class _Taken:
    """A sentence that another station claimed."""

    command: str
    station: str
    ended_s: float

    def concerns(self, order: Order) -> bool:
        return self.command == order.command and abs(self.ended_s - order.heard.end_s) <= LEASE_S


class Arbiter:
    """Who may act on what was just heard."""

    def __init__(self, station: str) -> None:
        self._station = station
        self._peers: frozenset[str] = frozenset()
        self._taken: list[_Taken] = []
        self._waiting: dict[UUID, tuple[Order, float]] = {}
        self._missed_s = float("-inf")

    @property
    def alone(self) -> bool:
        """Whether no other station is online."""
        return not self._peers

    def meet(self, stations: frozenset[str]) -> None:
        """Learn which stations are online."""
        self._peers = stations - {self._station}

    def holder(self, order: Order) -> str | None:
        """Name the other station that has claimed the sentence of `order` already."""
        return next((taken.station for taken in self._taken if taken.concerns(order)), None)

    def unsettled(self, order: Order) -> bool:
        """Tell whether another station may have claimed the sentence of `order` without us knowing."""
        return order.heard.end_s < self._missed_s

    def miss(self, now_s: float) -> list[Order]:
        """Learn that claims may have been missed until now: drop and return the orders that this concerns."""
        self._missed_s = now_s
        return self.clear()

    def reconnect(self, now_s: float) -> list[Order]:
        """Learn that the link is back: what peers claimed meanwhile was missed. A lone one missed nothing."""
        return [] if self.alone else self.miss(now_s)

    def enter(self, order: Order, now_s: float) -> bool:
        """Ask to act on `order`, whose claim is now sent; true if there is nobody to wait for."""
        if not self.alone:
            self._waiting[order.id] = order, now_s
        return self.alone

    def hear(self, claim: Claimed, now_s: float) -> list[Ruling]:
        """Take a claim and return what it decides."""
        if claim.station == self._station:
            order, _ = self._waiting.pop(claim.order_id, (None, 0.0))
            return [Ruling(order)] if order else []
        self._take(claim, now_s)
        lost = [order for order, _ in self._waiting.values() if self.holder(order)]
        for order in lost:
            del self._waiting[order.id]
        return [Ruling(order, claim.station) for order in lost]

    def _take(self, claim: Claimed, now_s: float) -> None:
        if len(self._taken) >= MAX_CLAIMS:
            self._taken = [taken for taken in self._taken if now_s - taken.ended_s < _FORGET_S]
        if len(self._taken) >= MAX_CLAIMS:
            self._missed_s = now_s  # what is heard from now on is claimed anew
            self._taken.clear()
        self._taken.append(_Taken(claim.command, claim.station, now_s - claim.age_s))

    def expire(self, now_s: float) -> list[Order]:
        """Drop and return the orders whose claim did not come back in time."""
        late = [order for order, asked_s in self._waiting.values() if now_s - asked_s > AGREE_S]
        for order in late:
            del self._waiting[order.id]
        return late

    def clear(self) -> list[Order]:
        """Drop and return all orders that wait."""
        dropped = [order for order, _ in self._waiting.values()]
        self._waiting.clear()
        return dropped
