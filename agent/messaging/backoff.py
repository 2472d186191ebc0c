"""How long a station waits before it connects again."""

import tenacity

from agent.messaging.session import LinkDownError

FIRST_PAUSE_S = 1.0


class Backoff(tenacity.wait.wait_base):
    """Full jitter: a random time of up to 1 s, 2 s, 4 s ..., at most `spread_s`.

    Where the broker ended a standing connection all stations lost theirs at the same moment: then the whole
    spread at once, so that they do not return as one.
    """

    def __init__(self, spread_s: float) -> None:
        self._spread_s = spread_s
        self._ceiling_s = FIRST_PAUSE_S

    def reset(self) -> None:
        """Begin anew: the link is up."""
        self._ceiling_s = FIRST_PAUSE_S

    def __call__(self, state: tenacity.RetryCallState) -> float:
        """Draw the next pause, in seconds."""
        error = state.outcome and state.outcome.exception()
        if isinstance(error, LinkDownError) and error.by_broker:
            self._ceiling_s = self._spread_s
        pause_s = tenacity.wait_random(0, min(self._ceiling_s, self._spread_s))(state)
        self._ceiling_s = min(2 * self._ceiling_s, self._spread_s)
        return pause_s
