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
"""A claim holds for sentences that ended at most this long before or after it came. No detector is later."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What became of an order that waited for the floor."""

    order: Order
    winner: str | None = None
    """The other station that acts; None: this one does."""


class Floor:
    """Who may act on what was just heard."""

    def __init__(self, station: str) -> None:
        self._station = station
        self._peers: frozenset[str] = frozenset()
        self._taken: dict[str, tuple[str, float]] = {}
        self._waiting: dict[UUID, Order] = {}

    def meet(self, stations: frozenset[str]) -> None:
        """Learn which stations are online."""
        self._peers = stations - {self._station}

    def holder(self, order: Order) -> str | None:
        """Name the other station that has claimed the sentence of `order` already."""
        station, claimed_s = self._taken.get(order.command, (None, 0.0))
        return station if abs(claimed_s - order.heard.end_s) <= LEASE_S else None

    def enter(self, order: Order) -> bool:
        """Ask to act on `order`, whose claim is now sent; true if there is nobody to wait for."""
        if self._peers:
            self._waiting[order.id] = order
        return not self._peers

    def hear(self, claim: Claimed, now_s: float) -> list[Ruling]:
        """Take a claim and return what it decides."""
        if claim.station == self._station:
            order = self._waiting.pop(claim.order_id, None)
            return [Ruling(order)] if order else []
        self._taken[claim.command] = (claim.station, now_s)
        lost = [order for order in self._waiting.values() if self.holder(order)]
        for order in lost:
            del self._waiting[order.id]
        return [Ruling(order, claim.station) for order in lost]

    def expire(self, now_s: float) -> list[Order]:
        """Drop and return the orders whose time ended before the floor was theirs."""
        late = [order for order in self._waiting.values() if order.remaining_s(now_s) <= 0]
        for order in late:
            del self._waiting[order.id]
        return late

    def clear(self) -> list[Order]:
        """Drop and return all orders that wait."""
        dropped = list(self._waiting.values())
        self._waiting.clear()
        return dropped
