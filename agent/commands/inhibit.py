"""Lockout and tagout, maintenance: whoever holds the inhibit topic keeps every command from the machine."""

from collections import deque
from dataclasses import replace

from agent.commands.decision import Detail, Objection, Reason
from agent.commands.effects import InhibitChanged
from agent.commands.events import InhibitReported
from agent.grammar.schema import Risk

MOST_TOLD, TOLD_WITHIN_S = 10, 10.0
"""Changes are told so often within this time: one that flaps would push all else out of the audit log."""


class Inhibit:
    """What is known about the lockout.

    A lockout holds until the topic says otherwise, however old it gets; what was said before it does not end
    it, in whatever order they arrive. Freedom is believed only while it is fresh; without it, commands of
    normal and high risk are refused.
    """

    def __init__(self, *, required: bool, max_age_s: float) -> None:
        self._required = required
        self._max_age_s = max_age_s
        self._report: InhibitReported | None = None
        self._outlasted = False
        """Another statement was made before it, and does not end it."""
        self._said_s = 0.0
        self._told: InhibitChanged | None = None
        self._told_s: deque[float] = deque(maxlen=MOST_TOLD)

    def report(self, report: InhibitReported, now_s: float) -> None:
        """Take what the topic says."""
        lockout = self._report
        self._outlasted = False
        if lockout and lockout.active and report.said_s < lockout.said_s:
            self._outlasted = not report.active
            report = replace(report, said_s=lockout.said_s) if report.active else lockout
        self._report = report
        self._said_s = now_s - max(0.0, report.age_s)

    def news(self, now_s: float) -> InhibitChanged | None:
        """Return what is known now if that is new; freedom that gets too old is news, too."""
        known = self._known(now_s)
        often = len(self._told_s) == MOST_TOLD and now_s - self._told_s[0] < TOLD_WITHIN_S
        if known == self._told or often:
            return None
        self._told = known
        self._told_s.append(now_s)
        return known

    def reconnect(self) -> None:
        """Doubt what was said before the link broke: somebody may have locked out meanwhile."""
        if self._report and not self._report.active:
            self._report = None

    def objection(self, risk: Risk, now_s: float) -> Objection | None:
        """Tell who keeps a command of this risk from the machine, and why."""
        known = self._known(now_s)
        if known and known.active:
            return Objection(Reason.INHIBITED, known.detail, known.aside)
        if not self._required or risk is Risk.LOW:
            return None
        if known is None:
            return Objection(Reason.INHIBITED, Detail.UNKNOWN)
        return Objection(Reason.INHIBITED, Detail.OUTDATED) if known.aside is Detail.OUTDATED else None

    def _known(self, now_s: float) -> InhibitChanged | None:
        if self._report is None:
            return None
        aside = Detail.UNHEEDED if self._outlasted else None
        if self._required and not self._report.active and now_s - self._said_s > self._max_age_s:
            aside = Detail.OUTDATED
        return InhibitChanged(self._report.active, self._report.who, self._report.why, aside)
