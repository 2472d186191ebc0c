"""The course of an update as a pure state machine: a state and an event in, the next state out.

`TABLE` says which event may lead where: no other way is taken, and the manual's picture is drawn from it.
What is in none of its rows is ignored: a late answer to a question that nobody asks any more does no harm.
Beside it `Started` goes on, in every phase, where the process ended. While a candidate is at work a `Wish`
waits until that has ended, for nobody says it again; a `Withdraw` is heeded in every phase, also at rest,
where what was wanted would be asked for again.

What is to be done follows from the state alone, see `awaited`. The state is on the disk before it is done; it
may be done twice.
"""

from collections.abc import Callable, Set
from dataclasses import dataclass, replace
from typing import Any

from agent.updates.effects import Activate, Check, Effect, Fetch, Revert, Try
from agent.updates.events import (
    Delivered,
    Event,
    Failed,
    Fetched,
    Found,
    Go,
    Healthy,
    Passed,
    Pin,
    Reverted,
    Rollback,
    Started,
    Steady,
    Stopping,
    Swapped,
    Trouble,
    Withdraw,
)
from agent.updates.release import order
from agent.updates.state import (
    BY_HAND,
    PREPARING,
    RESTING,
    WORKING,
    Candidate,
    Outcome,
    Phase,
    State,
    Wanted,
    Wish,
)

MAX_FAILED, MAX_OUTCOMES, MAX_HISTORY = 32, 64, 2
PINNED = "pinned by hand"
UP_TO_DATE = "up to date"
MAX_STARTS = 2
"""So many starts of the process in one trial or probation, and the bundle is to blame."""


def advance(state: State, event: Event) -> State:
    """Take one step."""
    match event:
        case Started():
            return _started(state, event)
        case Stopping():
            return replace(state, stopped=True)
        case Pin() if state.phase not in PREPARING:
            return replace(state, pinned=event.pinned)
        case Wish() if state.phase not in RESTING | PREPARING:
            return _wish_later(state, event)
        case Withdraw() if state.phase not in PREPARING:
            return replace(state, wanted=None, later=None)
        case Delivered():
            left = tuple(outcome for outcome in state.outcomes if outcome.id != event.id)
            return replace(state, outcomes=left)
    row = _ROWS.get((state.phase, type(event)))
    slot = getattr(event, "slot", None)
    if row is None or (slot and (state.candidate is None or slot != state.candidate.slot)):
        return state
    after = row.handler(state, event)
    assert after.phase in row.targets | {state.phase}, (state.phase, event, after.phase)  # noqa: S101
    return after


def awaited(state: State) -> Effect | None:
    """Return what is to be done in a state, which waits for its answer; None if nothing is."""
    match state:
        case State(phase=Phase.CHECKING, wanted=Wanted() as wanted):
            return Check(wanted)
        case State(phase=Phase.DOWNLOADING, candidate=Candidate() as candidate):
            return Fetch(candidate, keep=state.history[-1:])
        case State(phase=Phase.VERIFYING, candidate=Candidate() as candidate):
            return Try(candidate)
        case State(phase=Phase.ACTIVATING, candidate=Candidate(slot=slot)):
            return Activate(slot)
        case State(phase=Phase.ROLLING_BACK):
            return Revert(state.history[-1] if state.history else None)
    return None


def _started(state: State, event: Started) -> State:
    """Go on where the process ended; the link says what is true.

    That the mains are switched off each night is not the fault of a bundle that ran well until then.
    """
    went_out = bool(state.steady) and event.boot != state.steady
    starts = state.starts + (not state.stopped and not went_out)
    state = replace(state, active=event.active, running=event.running, stopped=False, steady="")
    candidate = state.candidate
    if state.phase in (Phase.CHECKING, Phase.DOWNLOADING):
        return replace(state, phase=Phase.CHECKING, candidate=None)
    if candidate is None or state.phase in {Phase.STAGED, Phase.ROLLING_BACK}:
        return state
    if state.phase is Phase.VERIFYING:
        if starts >= MAX_STARTS:
            return _refuse(_blame(state), "the trial ended the process")
        return replace(state, starts=starts)
    if event.active != candidate.slot:
        if state.phase is Phase.ACTIVATING:
            state = replace(state, phase=Phase.STAGED, history=state.history[:-1])
            if state.wanted is None:
                return _withdraw(state, Withdraw())
            return _pin(state, Pin(state.pinned))
        return _undo(state, "it is not in use any more, and not by this agent's doing")
    if starts >= MAX_STARTS:
        return _undo(state, f"the process ended {starts} times")
    return replace(state, phase=Phase.PROBATION, starts=starts)


def _wish_later(state: State, event: Wish) -> State:
    if event.wanted == state.wanted:  # that is at work: what a broker repeats must not try it again
        return _note(replace(state, later=None), event)
    return replace(state, later=event)


def _wish(state: State, event: Wish) -> State:
    state = replace(state, later=None)
    retry = event.retry not in ("", state.retried)
    if state.wanted == event.wanted and not retry:
        failed_by_name = state.phase is Phase.ROLLED_BACK and not event.wanted.follow
        if failed_by_name or state.phase in PREPARING:
            return state
    state = replace(state, wanted=event.wanted, candidate=None)
    if state.pinned:
        return _refuse(state, PINNED)
    if retry:
        state = _note(replace(state, failed=()), event)
    return replace(state, phase=Phase.CHECKING, reason="")


def _note(state: State, event: Wish) -> State:
    """Remember an order to try again that may be repeated."""
    return state if event.retry in ("", BY_HAND) else replace(state, retried=event.retry)


def _found(state: State, event: Found) -> State:
    candidate = event.candidate
    if candidate.slot == state.active:
        return _rest(state, UP_TO_DATE)
    if candidate.slot in state.failed:
        reason = "it failed here before; only `voxline update apply` tries it again"
        return replace(state, phase=Phase.REFUSED, reason=reason)
    for new in set(candidate.releases) - set(state.running):
        highest = state.highest.get(new.line, new.version)
        if order(new.version) < order(highest):
            return _refuse(state, f"{new} is older than {highest}, which ran here; roll back by hand")
    return replace(state, phase=Phase.DOWNLOADING, candidate=candidate)


def _trouble(state: State, event: Trouble) -> State:
    return (_refuse if event.final else _rest)(state, event.reason)


def _withdraw(state: State, _event: Withdraw) -> State:
    return replace(_rest(state, "nothing is wanted any more"), wanted=None, later=None)


def _pin(state: State, event: Pin) -> State:
    state = replace(state, pinned=event.pinned)
    return _refuse(state, PINNED) if state.pinned else state


def _fetched(state: State, _event: Fetched) -> State:
    return replace(state, phase=Phase.VERIFYING, starts=0)


def _passed(state: State, _event: Passed) -> State:
    return replace(state, phase=Phase.STAGED, reason="")


def _go(state: State, event: Go) -> State:
    history = (*state.history, state.active)[-MAX_HISTORY:]
    return replace(state, phase=Phase.ACTIVATING, starts=0, history=history, before=event.before)


def _swapped(state: State, event: Swapped) -> State:
    assert state.candidate  # noqa: S101 (for mypy: `advance` compared it with the event's)
    running = state.candidate.releases
    return replace(state, phase=Phase.PROBATION, active=event.slot, running=running, steady="")


def _steady(state: State, event: Steady) -> State:
    return replace(state, steady=event.boot)


def _failed(state: State, event: Failed) -> State:
    if state.phase is Phase.VERIFYING:
        return _refuse(_blame(state), event.reason)
    return _undo(state, event.reason)


def _rollback(state: State, event: Rollback) -> State:
    if state.phase not in WORKING:
        if state.active is None:
            return replace(state, reason="there is nothing to roll back")
        state = replace(state, candidate=Candidate(state.active, state.running))
    return _undo(state, event.reason)


def _healthy(state: State, event: Healthy) -> State:
    highest = dict(state.highest)
    for this in state.running:
        highest[this.line] = max(this.version, highest.get(this.line, this.version), key=order)
    state = replace(state, phase=Phase.COMMITTED, highest=highest, complaint="")
    return replace(_conclude(state, event.reason), candidate=None)


def _reverted(state: State, event: Reverted) -> State:
    meant = state.history[-1] if state.history else None
    lost = "" if event.active == meant else "; the slot before it is gone or damaged as well"
    state = replace(state, phase=Phase.ROLLED_BACK, active=event.active, running=event.running)
    return replace(_conclude(state, state.reason + lost), candidate=None, history=state.history[:-1])


def _rest(state: State, reason: str) -> State:
    phase = Phase.COMMITTED if state.active else Phase.IDLE
    return replace(state, phase=phase, reason=reason, candidate=None)


def _refuse(state: State, reason: str) -> State:
    complaint = f"{state.wanted}: {reason}"
    known = complaint == state.complaint
    state = replace(state, phase=Phase.REFUSED, complaint=complaint)
    state = replace(state, reason=reason) if known else _conclude(state, reason)
    return replace(state, candidate=None)


def _blame(state: State) -> State:
    failed = (*state.failed, state.candidate.slot) if state.candidate else state.failed
    return replace(state, failed=failed[-MAX_FAILED:])


def _undo(state: State, reason: str) -> State:
    return replace(_blame(state), phase=Phase.ROLLING_BACK, reason=reason)


def _conclude(state: State, reason: str) -> State:
    releases = state.candidate.releases if state.candidate else state.wanted.releases if state.wanted else ()
    outcome = Outcome(state.count + 1, state.phase, reason, state.active, releases)
    outcomes = (*state.outcomes, outcome)[-MAX_OUTCOMES:]
    return replace(state, reason=reason, outcomes=outcomes, count=state.count + 1)


@dataclass(frozen=True, slots=True)
class Row:
    """Where an event may lead from some phases."""

    phases: Set[Phase]
    event: type[Event]
    targets: Set[Phase]
    handler: Callable[[State, Any], State]


_P = Phase
TABLE: tuple[Row, ...] = (
    Row(RESTING, Wish, {_P.CHECKING, _P.REFUSED}, _wish),
    Row(PREPARING, Wish, {_P.CHECKING, _P.REFUSED}, _wish),
    Row(PREPARING, Withdraw, {_P.IDLE, _P.COMMITTED}, _withdraw),
    Row(PREPARING, Pin, {_P.REFUSED}, _pin),
    Row(PREPARING - {_P.STAGED}, Trouble, {_P.IDLE, _P.COMMITTED, _P.REFUSED}, _trouble),
    Row({_P.CHECKING}, Found, {_P.DOWNLOADING, _P.IDLE, _P.COMMITTED, _P.REFUSED}, _found),
    Row({_P.DOWNLOADING}, Fetched, {_P.VERIFYING}, _fetched),
    Row({_P.VERIFYING}, Passed, {_P.STAGED}, _passed),
    Row({_P.VERIFYING}, Failed, {_P.REFUSED}, _failed),
    Row({_P.STAGED}, Go, {_P.ACTIVATING}, _go),
    Row({_P.ACTIVATING}, Swapped, {_P.PROBATION}, _swapped),
    Row(WORKING, Failed, {_P.ROLLING_BACK}, _failed),
    Row(RESTING | PREPARING | WORKING, Rollback, {_P.ROLLING_BACK}, _rollback),
    Row({_P.PROBATION}, Steady, {_P.PROBATION}, _steady),
    Row({_P.PROBATION}, Healthy, {_P.COMMITTED}, _healthy),
    Row({_P.ROLLING_BACK}, Reverted, {_P.ROLLED_BACK}, _reverted),
)
_ROWS = {(phase, row.event): row for row in TABLE for phase in row.phases}


def picture() -> str:
    """Draw the table as a Mermaid state diagram."""
    lines = {
        f"    {phase} --> {target}: {row.event.__name__}"
        for row in TABLE
        for phase in row.phases
        for target in row.targets
        if phase is not target
    }
    return "\n".join(["stateDiagram-v2", "    [*] --> idle", *sorted(lines)]) + "\n"
