"""When a station hears a known utterance: every so often, on demand, and after every change of what hears.

Its last result stands in the health report; a failure is looked at again soon.
"""

from collections import Counter

from agent.health.selftest import SelfTest
from agent.health.snapshot import Outcome, Result, SelfTestHealth
from agent.hearing import Hearing
from agent.station import Ears

RETRY_S = 60.0
"""After a self-test that did not pass."""
SPACING_S = 5.0
"""Between the end of a self-test and the next: whoever asks without end does not slow the station down."""
LOST_AFTER_S = 120.0
"""A self-test that has not ended by then does not: sound stopped, or the recognizer did."""
SOUND_GONE_S = 1.0


class Examiner:
    """Keeps the time of self-tests. Used by the agent's thread alone, but for `ask`.

    Args:
        interval_s: between two self-tests.
        hearing: runs them.
        ears: what hears.
    """

    def __init__(self, interval_s: float, hearing: Hearing, ears: Ears) -> None:
        self._interval_s, self._hearing, self._ears = interval_s, hearing, ears
        self._asked = False
        self._due_s = -float("inf")
        self._ready_s = -float("inf")
        self._begun_s: float | None = None
        self._last: Result | None = None
        self._ended_s = 0.0
        self._runs = Counter[Outcome]()

    def ask(self) -> None:
        """Have a self-test run as soon as there is a pause. Any thread; the result comes as of the others."""
        self._asked = True

    def renew(self, ears: Ears) -> None:
        """Something else hears from now on: test it soon."""
        self._ears = ears
        self._due_s = -float("inf")

    def tick(self, now_s: float) -> Result | None:
        """Begin a self-test if it is time; return the result of one that cannot run or end."""
        if self._begun_s is not None:
            return self._give_up(now_s) if now_s - self._begun_s > LOST_AFTER_S else None
        sound = self._hears(now_s)
        due = now_s >= self._due_s and sound
        if now_s < self._ready_s or not (self._asked or due):
            return None
        self._asked = False
        script = self._ears.script
        if script is None:
            return Result(Outcome.NOT_RUN, reason="the bundle has no golden set with a grammar of its own")
        if not sound:
            return Result(Outcome.NOT_RUN, reason="no sound arrives")
        self._begun_s = now_s
        self._hearing.examine(SelfTest(script))
        return None

    def take(self, result: Result, now_s: float) -> None:
        """Note how a self-test ended."""
        self._begun_s = None
        self._last, self._ended_s = result, now_s
        self._runs[result.outcome] += 1
        self._ready_s = now_s + SPACING_S
        wait_s = self._interval_s
        if result.outcome is Outcome.FAILED:
            wait_s = min(RETRY_S, wait_s)
        elif result.outcome is Outcome.NOT_RUN and self._ears.script:
            wait_s = 0.0
        self._due_s = now_s + wait_s

    def health(self, now_s: float) -> SelfTestHealth:
        """Say how the last self-test ended."""
        last = self._last
        return SelfTestHealth(
            outcome=last.outcome if last else None,
            reason=last.reason if last else "",
            age_seconds=now_s - self._ended_s if last else None,
            runs_total=dict(self._runs),
        )

    def _hears(self, now_s: float) -> bool:
        return now_s - self._hearing.last_frame_s < SOUND_GONE_S

    def _give_up(self, now_s: float) -> Result:
        if not self._hears(now_s):
            return Result(Outcome.NOT_RUN, reason="sound stopped meanwhile")
        return Result(Outcome.FAILED, reason="the recognizer did not get to it")
