"""Lockout and tagout, maintenance: whoever holds the inhibit topic keeps every command from the machine."""

from agent.commands.decision import Objection, Reason
from agent.commands.events import InhibitReported
from agent.grammar.schema import Risk


class Inhibit:
    """What is known about the lockout.

    A lockout holds until the topic says otherwise, however old it gets. Freedom is believed only while it is
    fresh; without it, commands of normal and high risk are refused.
    """

    def __init__(self, *, required: bool, max_age_s: float) -> None:
        self._required = required
        self._max_age_s = max_age_s
        self._report: InhibitReported | None = None
        self._said_s = 0.0

    def report(self, report: InhibitReported, now_s: float) -> bool:
        """Take what the topic says; true if it says something new."""
        new = self._report is None or _facts(self._report) != _facts(report)
        self._report = report
        self._said_s = now_s - max(0.0, report.age_s)
        return new

    def reconnect(self) -> None:
        """Doubt what was said before the link broke: somebody may have locked out meanwhile."""
        if self._report and not self._report.active:
            self._report = None

    def objection(self, risk: Risk, now_s: float) -> Objection | None:
        """Tell who keeps a command of this risk from the machine, and why."""
        if self._report and self._report.active:
            return Objection(Reason.INHIBITED, describe(self._report))
        if not self._required or risk is Risk.LOW:
            return None
        if self._report is None:
            return Objection(Reason.INHIBITED, "lockout state unknown")
        if now_s - self._said_s > self._max_age_s:
            return Objection(Reason.INHIBITED, "lockout state out of date")
        return None


def describe(report: InhibitReported) -> str:
    """Say who locked out and why, as far as they told."""
    return ": ".join(filter(None, (report.who, report.why)))


def _facts(report: InhibitReported) -> tuple[bool, str, str]:
    return report.active, report.who, report.why
