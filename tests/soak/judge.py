"""What a soak showed: counts of commands, gaps and resources, and whether any of them is a failure. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tests.soak.faults import Fault
from tests.soak.observed import Arrival, Run
from tests.soak.resources import resources
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
BESIDE_S = 10.0
"""Faults that ended so shortly before a failure are named with it."""
NETWORK = {"broker_killed", "broker_frozen", "half_open", "reset", "slow_drip", "delay", "flipped_bits"}


def examine(run: Run) -> dict[str, Any]:
    """Judge a run: figures, and `failures` in words; an empty list is a pass."""
    commands, command_failures = _commands(run)
    gaps, gap_failures = _gaps(run)
    traces, trace_failures = _traces(run)
    taken, resource_failures = resources(run)
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
        "resources": taken,
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
