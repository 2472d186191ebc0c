"""When does the station take what it hears for a command? Only in windows that somebody opened."""

from collections import deque
from typing import Literal

Mode = Literal["open", "wake", "push_to_talk"]

LEAD_S = 0.25
"""Speech may begin this long before the button is known to be pressed: fingers and networks are slow."""
LONGEST_PRESS_S = 30.0
"""A button held longer is stuck."""
_REMEMBERED = 4
"""An utterance is judged after it ended, when newer windows may have opened."""


class Arming:
    """The armed windows. An utterance is armed if it began in one."""

    def __init__(self, mode: Mode, window_s: float) -> None:
        self._mode = mode
        self._window_s = window_s
        self._windows: deque[tuple[float, float]] = deque(maxlen=_REMEMBERED)

    def wake(self, spoken_s: float) -> None:
        """The wake phrase ended at `spoken_s`."""
        if self._mode == "wake":
            self._windows.append((spoken_s, spoken_s + self._window_s))

    def press(self, now_s: float) -> None:
        """The button went down."""
        if self._mode == "push_to_talk":
            start_s = now_s - LEAD_S
            if self._windows and self._windows[-1][1] > now_s:  # still down, and told again
                start_s, _ = self._windows.pop()
            self._windows.append((start_s, now_s + LONGEST_PRESS_S))

    def release(self, now_s: float) -> None:
        """The button went up: what began before counts, what begins now does not."""
        if self._mode == "push_to_talk":
            closed = ((start_s, min(end_s, now_s)) for start_s, end_s in self._windows)
            self._windows = deque(closed, maxlen=_REMEMBERED)

    def covers(self, start_s: float) -> bool:
        """Tell whether an utterance that began at `start_s` is meant for the station."""
        return self._mode == "open" or any(start <= start_s < end for start, end in self._windows)

    def until_s(self, now_s: float) -> float | None:
        """Tell when the window that is open now ends; None: none is, or none is needed."""
        return max((end for _, end in self._windows if end > now_s), default=None)
