"""When was each sample heard? Counting is exact but drifts; measuring jitters but does not drift."""

GAP_S = 0.1
"""A measurement this much later than the count says means that sound was lost."""
_PULL = 0.01
_PULL_LIMIT = 0.05


class SampleClock:
    """Turns sample numbers into monotonic times: even from sample to sample, true in the long run.

    Each measurement pulls the count by a hundredth of its error, and never by more than 5 % of the time that
    passed, so jitter is smoothed and time never runs backwards. A measurement later by `GAP_S` is believed
    at once: the jump in time is what tells the listener of a gap.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._index = 0
        self._time_s: float | None = None

    def observe(self, index: int, time_s: float, *, gap: bool = False) -> bool:
        """Sample `index` was measured at `time_s`; true if sound was lost before it.

        `index` must not go down. `gap` says that something was lost, so the measurement is believed.
        """
        if self._time_s is None:
            self._index, self._time_s = index, time_s
            return False
        expected_s = self.time_of(index)
        error_s = time_s - expected_s
        if error_s > GAP_S or (gap and error_s > 0):
            self._index, self._time_s = index, time_s
            return True
        limit_s = _PULL_LIMIT * (index - self._index) / self._rate_hz
        self._index, self._time_s = index, expected_s + min(max(error_s * _PULL, -limit_s), limit_s)
        return False

    def time_of(self, index: float) -> float:
        """Monotonic seconds at which sample `index` (may be a fraction) was heard; needs one observation."""
        if self._time_s is None:
            msg = "no measurement yet"
            raise ValueError(msg)
        return self._time_s + (index - self._index) / self._rate_hz
