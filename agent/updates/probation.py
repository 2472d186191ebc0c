"""Whether a bundle that has come into use does no worse than the one before it. Pure."""

from dataclasses import dataclass, replace
from math import exp, lgamma, sqrt

WORSE_LATENCY_RATIO, WORSE_LATENCY_S = 1.5, 0.02
"""Both must be exceeded: a fast model may double a small figure."""
WARM_UP_S = 20.0
"""The first runs of an engine are slow; before this time its latency says nothing."""
WORSE_REJECT_SHARE = 0.1
CHANCE = 0.003
"""Odds at which a difference is no accident. It is looked for after every utterance, so they must be long: of
bundles that are no worse 1 in 100 is sent back within 20 utterances."""
LINK_PATIENCE_S = 900.0
PUT_UP_WITH = {"engine_errors": 0, "self_test_failures": 1}
"""What fails so often may fail by chance: a busy station may miss one self-test; it soon tries again."""


@dataclass(frozen=True, slots=True)
class Record:
    """How a bundle does: counts over some time, and how things stand at its end."""

    seconds: float
    utterances: int = 0
    rejects: int = 0
    """Of the utterances."""
    engine_errors: int = 0
    """Runs without an answer, and an NPU given up, as after a wrong answer to its canary."""
    self_tests: int = 0
    """Known utterances, put in behind the microphone, that were understood."""
    self_test_failures: int = 0
    """And those that were not."""
    latency_s: float | None = None
    """Of one run of the engine, the median of the last: what else the machine does disturbs it least."""
    offline_s: float = 0.0
    """Since the link to the broker was lost; 0 while there is one."""

    def since(self, start: "Record") -> "Record":
        """Return what came after `start`, which was counted from the same moment."""
        return replace(
            self,
            seconds=self.seconds - start.seconds,
            utterances=self.utterances - start.utterances,
            rejects=self.rejects - start.rejects,
            engine_errors=self.engine_errors - start.engine_errors,
            self_tests=self.self_tests - start.self_tests,
            self_test_failures=self.self_test_failures - start.self_test_failures,
        )


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a bundle is watched."""

    seconds: float
    utterances: int
    max_seconds: float = 24 * 3600.0
    """Where nobody speaks: after this time silence is taken for consent."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found, and why."""

    worse: bool
    evidence: str


def judge(before: Record | None, now: Record, terms: Terms) -> Finding | None:
    """Compare a bundle with the one before it.

    Args:
        before: None if there is nothing to compare with; then only plain failures count.
        now: of the bundle on probation.
        terms: when to be content.

    Returns:
        None while it is too early to say.
    """
    if worse := _worse(before or Record(0.0), now):
        return Finding(worse=True, evidence=worse)
    tested = now.self_tests or not (before and before.self_tests)
    enough = (now.utterances >= terms.utterances and tested) or now.seconds >= terms.max_seconds
    if now.seconds < terms.seconds or not enough or now.offline_s:
        return None
    latency = "" if now.latency_s is None else f", latency {now.latency_s * 1000:.0f} ms"
    return Finding(
        worse=False,
        evidence=f"{now.seconds:.0f} s, {now.utterances} utterances, {now.rejects} rejected, "
        f"{now.self_tests} self tests passed{latency}",
    )


def _worse(before: Record, now: Record) -> str:
    for name, put_up_with in PUT_UP_WITH.items():
        were, are = getattr(before, name), getattr(now, name)
        rate = were / before.seconds if before.seconds else 0.0
        # Two standard deviations above what the old rate would have made in this time, and at least one.
        if are > max(put_up_with, (expected := rate * now.seconds) + 2 * sqrt(expected)):
            what = name.replace("_", " ")
            return f"{are} {what} in {now.seconds:.0f} s, {were} in {before.seconds:.0f} s before"
    old, new = before.latency_s, now.latency_s
    warm = now.seconds >= WARM_UP_S
    if warm and old and new and new > old * WORSE_LATENCY_RATIO and new > old + WORSE_LATENCY_S:
        return f"latency {new * 1000:.0f} ms, {old * 1000:.0f} ms before"
    if before.utterances and now.utterances and _rejects_more(before, now):
        return (
            f"{now.rejects} of {now.utterances} utterances rejected, "
            f"{before.rejects} of {before.utterances} before"
        )
    if before.seconds and not before.offline_s and min(now.offline_s, now.seconds) > LINK_PATIENCE_S:
        return f"no link to the broker for {now.offline_s:.0f} s, there was one before"
    return ""


def _rejects_more(before: Record, now: Record) -> bool:
    """Test two shares against each other: Fisher's exact test, one-sided."""
    if now.rejects / now.utterances - before.rejects / before.utterances <= WORSE_REJECT_SHARE:
        return False
    rejects, utterances = before.rejects + now.rejects, before.utterances + now.utterances
    as_bad = sum(
        exp(
            _log_ways(now.utterances, count)
            + _log_ways(before.utterances, rejects - count)
            - _log_ways(utterances, rejects)
        )
        for count in range(now.rejects, min(now.utterances, rejects) + 1)
    )
    return as_bad < CHANCE


def _log_ways(of: int, chosen: int) -> float:
    """Logarithm of the binomial coefficient: the number itself has thousands of digits after a year."""
    return lgamma(of + 1) - lgamma(chosen + 1) - lgamma(of - chosen + 1)
