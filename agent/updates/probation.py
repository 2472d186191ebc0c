"""Whether a bundle that has come into use does no worse than the one before it. Pure."""

from dataclasses import dataclass, replace
from math import sqrt

WORSE_LATENCY_RATIO, WORSE_LATENCY_S = 1.5, 0.02
"""Both must be exceeded: a fast model may double a small figure."""
WORSE_REJECT_SHARE = 0.1
SURE_SIGMA = 2.33
"""One-sided, 99 %: chance alone hardly makes this difference."""
LINK_PATIENCE_S = 300.0


@dataclass(frozen=True, slots=True)
class Vitals:
    """How a bundle does: counts over some time, and how things stand at its end."""

    seconds: float
    utterances: int = 0
    rejects: int = 0
    """Of the utterances."""
    canary_failures: int = 0
    """Known windows that the engine answered wrongly."""
    engine_errors: int = 0
    self_test_failures: int = 0
    """Test phrases, given to the recognizer unheard, that it did not understand."""
    latency_p95_s: float | None = None
    """Of one run of the engine."""
    link_up: bool = True

    def since(self, start: "Vitals") -> "Vitals":
        """Return what came after `start`, which was counted from the same moment."""
        return replace(
            self,
            seconds=self.seconds - start.seconds,
            utterances=self.utterances - start.utterances,
            rejects=self.rejects - start.rejects,
            canary_failures=self.canary_failures - start.canary_failures,
            engine_errors=self.engine_errors - start.engine_errors,
            self_test_failures=self.self_test_failures - start.self_test_failures,
        )


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a bundle is watched."""

    seconds: float = 600.0
    utterances: int = 10
    max_seconds: float = 24 * 3600.0
    """Where nobody speaks: after this time silence is taken for consent."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found, and why."""

    worse: bool
    evidence: str


def judge(before: Vitals | None, now: Vitals, terms: Terms) -> Verdict | None:
    """Compare a bundle with the one before it.

    Args:
        before: None if there is nothing to compare with; then only plain failures count.
        now: of the bundle on probation.
        terms: when to be content.

    Returns:
        None while it is too early to say.
    """
    if worse := _worse(before or Vitals(0.0), now):
        return Verdict(worse=True, evidence=worse)
    enough = now.utterances >= terms.utterances or now.seconds >= terms.max_seconds
    if now.seconds < terms.seconds or not enough or not now.link_up:
        return None
    latency = "" if now.latency_p95_s is None else f", latency p95 {now.latency_p95_s * 1000:.0f} ms"
    return Verdict(
        worse=False,
        evidence=f"{now.seconds:.0f} s, {now.utterances} utterances, {now.rejects} rejected{latency}",
    )


def _worse(before: Vitals, now: Vitals) -> str:
    for name in ("canary_failures", "engine_errors", "self_test_failures"):
        were, are = getattr(before, name), getattr(now, name)
        rate = were / before.seconds if before.seconds else 0.0
        # Two standard deviations above what the old rate would have made in this time, and at least one.
        if are > (expected := rate * now.seconds) + 2 * sqrt(expected):
            what = name.replace("_", " ")
            return f"{are} {what} in {now.seconds:.0f} s, {were} in {before.seconds:.0f} s before"
    old, new = before.latency_p95_s, now.latency_p95_s
    if old and new and new > old * WORSE_LATENCY_RATIO and new > old + WORSE_LATENCY_S:
        return f"latency p95 {new * 1000:.0f} ms, {old * 1000:.0f} ms before"
    if before.utterances and now.utterances and _rejects_more(before, now):
        return (
            f"{now.rejects} of {now.utterances} utterances rejected, "
            f"{before.rejects} of {before.utterances} before"
        )
    if before.link_up and not now.link_up and before.seconds and now.seconds > LINK_PATIENCE_S:
        return f"no link to the broker for {now.seconds:.0f} s"
    return ""


def _rejects_more(before: Vitals, now: Vitals) -> bool:
    """Test two shares against each other, pooled."""
    old, new = before.rejects / before.utterances, now.rejects / now.utterances
    pooled = (before.rejects + now.rejects) / (before.utterances + now.utterances)
    sigma = sqrt(pooled * (1 - pooled) * (1 / before.utterances + 1 / now.utterances))
    return new - old > max(WORSE_REJECT_SHARE, SURE_SIGMA * sigma)
