"""When and where an update may happen: the share of stations, the earliest moment, the hours. Pure."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, time


@dataclass(frozen=True, slots=True)
class Rollout:
    """What somebody who wants an update says about when and where."""

    percent: float = 100.0
    """Of all stations, 0 to 100: those with the lowest hash, so that 20 holds everyone who was in 5."""
    not_before: datetime | None = None
    window: tuple[time, time] | None = None
    """Hours of the day by the station's local clock, from and to; may span midnight.
    From an hour to itself is all day."""

    def includes(self, station: str) -> bool:
        """Whether a station is among the chosen; always the same answer for the same name."""
        share = int.from_bytes(hashlib.sha256(station.encode()).digest()[:8], "big") / 2**64
        return share * 100 < self.percent

    def opens(self, now: datetime, past: datetime | None) -> bool:
        """Whether a bundle may be swapped now.

        Args:
            now: aware, in the station's local time zone.
            past: a moment that has passed for certain. A clock that stands before it, as that of a board
                without a battery after a power cut, does not tell the hour: then a window stays shut.
        """
        if self.not_before and now < self.not_before:
            return False
        if self.window is None:
            return True
        if past and now < past:
            return False
        start, end = self.window
        clock = now.time()
        return start <= clock < end if start < end else clock >= start or clock < end
