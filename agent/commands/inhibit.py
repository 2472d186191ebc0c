"""Lockout and tagout, maintenance: whoever holds the inhibit topic keeps every command from the machine."""

from dataclasses import replace

from agent.commands.decision import Objection, Reason
from agent.commands.events import InhibitReported
from agent.grammar.schema import Risk

UNHEEDED = " (a release from before it does not count)"
"""Why a lockout stands for whoever thinks to have ended it: their clock is behind, or the message old."""


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
        self._said_s = 0.0

    def report(self, report: InhibitReported, now_s: float) -> InhibitReported | None:
        """Take what the topic says; return what is known now if that is new."""
        known = self._report
        if known and known.active and report.said_s < known.said_s:
            report = _outlasted(known, report)
        self._report = report
        self._said_s = now_s - max(0.0, report.age_s)
        return report if known is None or _facts(known) != _facts(report) else None

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


def _outlasted(lockout: InhibitReported, earlier: InhibitReported) -> InhibitReported:
    """Give the lockout that stands where another statement was made before it."""
    if earlier.active:
        return replace(earlier, said_s=lockout.said_s)
    return replace(lockout, why=lockout.why.removesuffix(UNHEEDED) + UNHEEDED)


def _facts(report: InhibitReported) -> tuple[bool, str, str]:
    return report.active, report.who, report.why
