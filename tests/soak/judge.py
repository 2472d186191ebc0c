"""What a soak showed: counts of commands, gaps and resources, and whether any of them is a failure. Pure."""

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self

import numpy as np
import scipy.stats

from tests.soak.faults import Fault
from tests.soak.sound import Utterance

KEEPALIVE_S = 4.0
DECIDED_S = 4.0
"""A decision comes this soon after the end of speech, or not at all."""
SAME_S = 0.5
"""A command's end of speech lies within a sentence that was spoken, or so soon after it."""
LATE_S = 0.5
"""A command may arrive this much later than its time to live after the end of speech: clocks, blocks."""
DEAF_S = 5.5
"""A dead source is reported within 5 s; and a tick, and the length of a block."""
LINK_S, EDIT_S, LOCKOUT_S = 30.0, 15.0, 20.0
"""Reports may take this long to reach the plant, through whatever else is broken."""
PIPE_S = 3.0
"""More sound than this does not fit into a pipe: some of it is lost."""
SETTLE_S = 2.0
"""A lockout may take this long to reach the station."""
BROKER_S = 1.0
"""What a broker has taken this shortly before it is killed, it may take along."""
WARM_UP = 0.5
"""Of the time, not judged for leaks, and at least 2 minutes: pools and caches fill for half an hour."""
BESIDE_S = 10.0
"""Faults that ended so shortly before a failure are named with it."""
NETWORK = {"broker_killed", "broker_frozen", "half_open", "reset", "slow_drip", "delay", "flipped_bits"}
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the agent's log, when it was read."""

    at_s: float
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """The agent's process at one moment."""

    at_s: float
    resident_bytes: int
    unique_bytes: int
    """Of the resident ones, those that no other process shares."""
    threads: int
    descriptors: int
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message that the plant received. All times are monotonic."""

    topic: str
    at_s: float
    body: Mapping[str, Any]
    """Empty: no JSON."""
    said_s: float
    expires_s: float | None

    @classmethod
    def of(cls, topic: str, payload: bytes, at_s: float, wall_s: float) -> Self:
        """Read a message; `wall_s` is UTC minus monotonic."""
        try:
            body = json.loads(payload)
            said_s = datetime.fromisoformat(body["time"]).timestamp() - wall_s
            expires = body.get("expires")
            expires_s = datetime.fromisoformat(expires).timestamp() - wall_s if expires else None
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls(topic, at_s, {}, at_s, None)
        return cls(topic, at_s, body, said_s, expires_s)


@dataclass(frozen=True, slots=True)
class Run:
    """All that was recorded."""

    seed: int
    started_s: float
    ended_s: float
    exit_status: int
    ended_by_itself: bool
    spoken: Sequence[Utterance]
    blocks_lost: int
    faults: Sequence[Fault]
    arrivals: Sequence[Arrival]
    lines: Sequence[Line]
    samples: Sequence[Sample]
    audit: Sequence[Mapping[str, Any]]
    """Entries with `at_s`."""
    audit_faults: Sequence[str]

    def on(self, part: str) -> list[Arrival]:
        """What came on topics that hold `part`."""
        return [arrival for arrival in self.arrivals if part in arrival.topic and arrival.body]

    def decided(self, verdict: str) -> list[Mapping[str, Any]]:
        """What the agent's log says of decisions of a kind: it goes on while the disk is full."""
        lines = (line.fields for line in self.lines if line.fields.get("event") == "decided")
        return [fields for fields in lines if fields.get("verdict") == verdict]

    def broken(self, *kinds: str) -> list[Fault]:
        """Give the faults of these kinds."""
        return [fault for fault in self.faults if fault.kind in kinds]


def examine(run: Run) -> dict[str, Any]:
    """Judge a run: figures, and `failures` in words; an empty list is a pass."""
    commands, command_failures = _commands(run)
    gaps, gap_failures = _gaps(run)
    traces, trace_failures = _traces(run)
    resources, resource_failures = _resources(run)
    ending = []
    if run.ended_by_itself or run.exit_status:
        ending.append(f"the agent ended with {run.exit_status}, by itself: {run.ended_by_itself}")
    return {
        "minutes": round((run.ended_s - run.started_s) / 60, 1),
        "seed": run.seed,
        "restarts_of_the_agent": int(run.ended_by_itself),
        "faults_made": dict(Counter(fault.kind for fault in run.faults)),
        "commands": commands,
        "gaps": gaps,
        "records": traces,
        "resources": resources,
        "agent_log": dict(Counter(str(line.fields.get("event")) for line in run.lines)),
        "failures": ending + command_failures + gap_failures + trace_failures + resource_failures,
    }


# --- commands


def _commands(run: Run) -> tuple[dict[str, Any], list[str]]:
    received, mangled = [], 0
    for arrival in run.on("/command/"):
        if _within(arrival.at_s, run.broken("flipped_bits"), 0.0, 1.0):
            mangled += 1  # by us, on the wire: nothing in it can be believed
        else:
            received.append(arrival)
    said = [utterance for utterance in run.spoken if utterance.kind != "talk"]
    heard = [_spoken(arrival.said_s, said) for arrival in received]
    ids = Counter(arrival.body["id"] for arrival in received)
    utterances = Counter(index for index in heard if index is not None)
    late = [a for a in received if a.expires_s is not None and a.at_s > a.expires_s]
    stale = [
        a
        for a, index in zip(received, heard, strict=True)
        if index is not None and a.at_s > said[index].end_s + (a.expires_s or 0) - a.said_s + LATE_S
    ]
    locked = [a for a in received if _during_lockout(a, run)]
    wrong = sum(_differs(a, said, index) for a, index in zip(received, heard, strict=True))
    failures = [
        f"{len(found)} commands {what}"
        for found, what in (
            (late, f"arrived after they had expired: {_told(late, run)}"),
            (stale, "were older than their time to live, by the speaker's clock"),
            ([i for i, count in ids.items() if count > 1], "came twice"),
            ([i for i, count in utterances.items() if count > 1], "were made twice of one sentence"),
            ([index for index in heard if index is None], "were never spoken"),
            (locked, "came during a lockout"),
        )
        if found
    ]
    fates = Counter(arrival.body["fate"] for arrival in run.on("/event/delivery"))
    return {
        "sentences_spoken": len(run.spoken),
        "commands_spoken": sum(utterance.kind == "command" for utterance in run.spoken),
        "accepted": len(run.decided("accept")),
        "asked_back": len(run.decided("confirm")),
        "rejected": _tally(fields.get("reason") for fields in run.decided("reject")),
        "received_by_the_plant": len(ids),
        "unlike_what_was_spoken": wrong,
        "late": len(late) + len(stale),
        "doubled": sum(count > 1 for count in (*ids.values(), *utterances.values())),
        "during_lockout": len(locked),
        "set_aside_while_bits_were_flipped": mangled,
        "delivery_events": dict(fates),
        "answers": _tally(arrival.body["answer"] for arrival in run.on("/event/settled")),
    }, failures


def _told(late: Iterable[Arrival], run: Run) -> str:
    """Say by how much, and beside which faults."""
    return ", ".join(f"by {a.at_s - (a.expires_s or 0):.2f} s ({_beside(a.at_s, run)})" for a in late)


def _beside(moment_s: float, run: Run) -> str:
    found = [fault.kind for fault in run.faults if _within(moment_s, [fault], 0.0, BESIDE_S)]
    return " and ".join(found) or "no fault"


def _spoken(moment_s: float, said: Sequence[Utterance]) -> int | None:
    """Find the sentence that ended at a moment, by what the speaker knows."""
    spoken = (i for i, u in enumerate(said) if u.start_s <= moment_s <= u.end_s + SAME_S)
    return next(spoken, None)


def _differs(arrival: Arrival, said: Sequence[Utterance], index: int | None) -> bool:
    if index is None:
        return True
    order = said[index] if said[index].kind == "command" else said[index - 1]
    meaning = arrival.body.get("meaning", {})
    return (meaning.get("command"), meaning.get("slots")) != (order.command, order.slots)


def _during_lockout(arrival: Arrival, run: Run) -> bool:
    """Whether the station acted though it must have known; on a broken link it may not know yet."""
    network = run.broken(*NETWORK)
    return any(
        lockout.start_s + SETTLE_S < arrival.at_s < lockout.end_s
        and not any(f.start_s < arrival.at_s and f.end_s > lockout.start_s - SETTLE_S for f in network)
        for lockout in run.broken("lockout")
    )


def _tally(values: Iterable[object]) -> dict[str, int]:
    return {str(value): count for value, count in Counter(values).most_common()}


# --- gaps


def _gaps(run: Run) -> tuple[dict[str, Any], list[str]]:
    """For each kind: how often it was made, and how often the plant was told."""
    told: dict[str, list[bool]] = {}
    for fault in run.faults:
        if (reported := _reported(fault, run)) is not None:
            told.setdefault(fault.kind, []).append(reported)
    failures = [
        f"{kind}: {reports.count(False)} of {len(reports)} were not reported"
        for kind, reports in told.items()
        if not all(reports)
    ]
    return {kind: {"made": len(r), "reported": sum(r)} for kind, r in sorted(told.items())}, failures


def _reported(fault: Fault, run: Run) -> bool | None:
    """Whether the plant was told of a fault; None: there was nothing to tell."""
    start_s, end_s = fault.start_s, fault.end_s
    match fault.kind:
        case "broker_killed" | "reset":
            return _reconnected(run, start_s, end_s)
        case "broker_frozen" | "half_open":
            long = end_s - start_s > KEEPALIVE_S + 1.0
            return _reconnected(run, start_s, end_s) if long else None
        case "sound_stopped" | "sound_repeating" | "sound_silent":
            events = [a for a in run.on("/event/audio") if a.body.get("event") == "stuck"]
            return any(start_s < a.said_s < start_s + DEAF_S for a in events)
        case "grammar_good" | "sighup":
            return _grammar(run, "loaded", start_s)
        case "grammar_bad":
            return _grammar(run, "refused", start_s)
        case "lockout":
            events = [a for a in run.on("/event/inhibition") if a.body.get("active")]
            return any(start_s < a.said_s < end_s + LOCKOUT_S for a in events)
        case "agent_frozen":
            overruns = [(a.said_s, a.body["audio"]["overruns_total"]) for a in run.on("/health")]
            before = max((count for said_s, count in overruns if said_s < start_s), default=0)
            told = any(count > before for said_s, count in overruns if start_s < said_s < end_s + LINK_S)
            return told if end_s - start_s > PIPE_S else None
        case "disk_full":
            failed = any(
                start_s < line.at_s < end_s and line.fields.get("event") == "audit_failed"
                for line in run.lines
            )
            gaps = (e for e in run.audit if e.get("kind") == "gap" and start_s < e["at_s"])
            return any(gaps) if failed else None
    return None


def _reconnected(run: Run, start_s: float, end_s: float) -> bool:
    """Whether a health report counts one connection more than those before the fault."""
    connects = [(a.said_s, a.body["link"]["connects_total"]) for a in run.on("/health")]
    before = max((count for said_s, count in connects if said_s < start_s), default=0)
    return any(count > before for said_s, count in connects if start_s < said_s < end_s + LINK_S)


def _grammar(run: Run, event: str, start_s: float) -> bool:
    events = [arrival for arrival in run.on("/event/grammar") if arrival.body.get("event") == event]
    return any(start_s < arrival.said_s < start_s + EDIT_S for arrival in events)


# --- what was written down


def _traces(run: Run) -> tuple[dict[str, Any], list[str]]:
    kinds = ("/event/accept", "/event/reject", "/event/question")
    decided_s = np.array(
        sorted(
            [arrival.said_s for kind in kinds for arrival in run.on(kind)]
            + [entry["at_s"] for entry in run.audit if entry.get("kind") == "decision"]
        )
    )
    untraced = []
    whole = [
        utterance
        for utterance in run.spoken
        if utterance.kind == "command" and utterance.whole and utterance.end_s + DECIDED_S < run.ended_s
    ]
    for said in whole:
        until_s = max(
            [said.end_s, *(f.end_s for f in run.broken("agent_frozen") if f.start_s < said.end_s + DECIDED_S)]
        )
        first = np.searchsorted(decided_s, said.start_s)
        seen = first < len(decided_s) and decided_s[first] < max(until_s, said.end_s) + DECIDED_S
        if not seen and not _within(said.end_s, run.broken("disk_full"), DECIDED_S, DECIDED_S):
            untraced.append(_beside(said.end_s, run))
    logged = sum(line.fields.get("event") == "decided" for line in run.lines)
    audited = sum(entry.get("kind") == "decision" for entry in run.audit)
    missed = sum(int(entry["missed"]) for entry in run.audit if entry.get("kind") == "gap")
    lost, taken_along = _lost_events(run)
    failures = [f"audit log: {fault}" for fault in run.audit_faults]
    if untraced:
        failures.append(f"{len(untraced)} spoken commands left no trace, beside {', '.join(untraced)}")
    if logged - audited > missed:
        failures.append(
            f"audit log: {logged - audited} decisions are missing, but only {missed} are owned up to"
        )
    if lost:
        failures.append(f"{lost} accepted commands are in the audit log, but their event never came")
    return {
        "commands_without_a_trace": len(untraced),
        "decisions": logged,
        "in_the_audit_log": audited,
        "audit_entries_reported_as_missing": missed,
        "audit_chain_whole": not run.audit_faults,
        "events_lost": lost,
        "events_lost_with_a_killed_broker": taken_along,
    }, failures


def _lost_events(run: Run) -> tuple[int, int]:
    """Count accepts whose durable event never came: without an excuse, and in a broker killed just then."""
    came = {arrival.body.get("command_id") for arrival in run.on("/event/accept")}
    lost = taken_along = 0
    for entry in run.audit:
        if entry.get("verdict") != "accept" or entry.get("order") in came:
            continue
        moment_s = entry["at_s"]
        if _within(moment_s, run.broken("broker_killed"), BROKER_S, 0.0):
            taken_along += 1
        elif not _within(moment_s, run.broken("flipped_bits", "disk_full"), 1.0, 1.0):
            lost += 1
    return lost, taken_along


def _within(moment_s: float, faults: Iterable[Fault], before_s: float, after_s: float) -> bool:
    return any(fault.start_s - before_s <= moment_s <= fault.end_s + after_s for fault in faults)


# --- resources


@dataclass(frozen=True, slots=True)
class Slope:
    """How fast something grows, per hour, with its 95 % interval."""

    per_hour: float
    low: float
    high: float

    @classmethod
    def of(cls, hours: Sequence[float], values: Sequence[float]) -> Self:
        """Fit a line by least squares; needs 4 points.

        Neighbours in time are alike, so that each tells less than one point's worth: the interval is widened
        by the correlation of the residuals with themselves one step later.
        """
        fit = scipy.stats.linregress(hours, values)
        residuals = np.asarray(values) - fit.intercept - fit.slope * np.asarray(hours)
        square = float(residuals @ residuals)
        alike = max(0.0, float(residuals[1:] @ residuals[:-1]) / square) if square else 0.0
        worth = max(3.0, len(values) * (1 - alike) / (1 + alike))
        error = float(fit.stderr) * ((len(values) - 2) / (worth - 2)) ** 0.5
        half = float(scipy.stats.t.ppf(0.975, worth - 2)) * error
        return cls(float(fit.slope), float(fit.slope) - half, float(fit.slope) + half)


def minutes(run: Run) -> list[tuple[float, float]]:
    """Give the resident memory (MiB) of each minute (in hours since the start), its mean."""
    bins: dict[int, list[float]] = {}
    for sample in run.samples:
        if sample.at_s >= run.started_s:
            minute = int((sample.at_s - run.started_s) / 60)
            bins.setdefault(minute, []).append(sample.resident_bytes / _MIB)
    return [((minute + 0.5) / 60, statistics.fmean(values)) for minute, values in sorted(bins.items())]


def settled(run: Run) -> list[tuple[float, float]]:
    """Give the minutes after warming up."""
    warm_h = max(WARM_UP * (run.ended_s - run.started_s) / 3600, 2 / 60)
    return [point for point in minutes(run) if point[0] > warm_h]


def _resources(run: Run) -> tuple[dict[str, Any], list[str]]:
    points = settled(run)
    failures = []
    slope = Slope.of(*zip(*points, strict=True)) if len(points) >= 4 else None
    if slope and slope.low > 0:
        failures.append(f"memory grows by {slope.per_hour:.2f} MiB/h ({slope.low:.2f} to {slope.high:.2f})")
    found: dict[str, Any] = {
        "resident_mib_by_minute": [round(value, 2) for _, value in minutes(run)],
        "memory_slope_mib_per_hour": slope and {key: round(value, 3) for key, value in asdict(slope).items()},
    }
    later = [sample for sample in run.samples if sample.at_s > run.started_s]
    if later:
        tenth = max(1, len(later) // 10)
        for name in ("threads", "descriptors"):
            counts = [getattr(sample, name) for sample in later]
            first, last = statistics.median(counts[:tenth]), statistics.median(counts[-tenth:])
            found[name] = {"first": first, "last": last, "most": max(counts)}
            if last > first:
                failures.append(f"{name}: {first:.0f} at first, {last:.0f} at the end")
        took_s = later[-1].at_s - later[0].at_s
        found["cpu_ratio"] = round((later[-1].cpu_s - later[0].cpu_s) / max(took_s, 1.0), 3)
    return found, failures
