"""How far the station's updates are: the state that survives a restart, and what it is made of."""

from dataclasses import dataclass, field
from enum import StrEnum

from agent.updates.probation import Record
from agent.updates.release import Reference
from agent.updates.rollout import Rollout


class Phase(StrEnum):
    """Where an update stands."""

    IDLE = "idle"
    CHECKING = "checking"
    DOWNLOADING = "downloading"
    VERIFYING = "verifying"
    STAGED = "staged"
    ACTIVATING = "activating"
    PROBATION = "probation"
    COMMITTED = "committed"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    REFUSED = "refused"


RESTING = frozenset({Phase.IDLE, Phase.COMMITTED, Phase.ROLLED_BACK, Phase.REFUSED})
PREPARING = frozenset({Phase.CHECKING, Phase.DOWNLOADING, Phase.VERIFYING, Phase.STAGED})
WORKING = frozenset({Phase.ACTIVATING, Phase.PROBATION})
"""A candidate is at work, or about to be."""
BY_HAND = "by hand"
"""Names the orders to try again of a person at the station: each is given once."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the station should run: releases, or whatever a channel says."""

    releases: tuple[Reference, ...] = ()
    follow: str = ""
    """Channel; empty where `releases` is given."""
    rollout: Rollout = field(default_factory=Rollout)
    """When and where."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A slot that may come into use."""

    slot: str
    """Its digest."""
    releases: tuple[Reference, ...]
    """All that is in it."""
    size_bytes: int = 0
    """Yet to be fetched."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an update ended; kept until it was delivered."""

    id: int
    phase: Phase
    reason: str
    slot: str | None
    """What is in use after it."""
    releases: tuple[Reference, ...]
    """What was tried, or what was undone."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Somebody wants something to run."""

    wanted: Wanted
    retry: str = ""
    """Names an order to try also what failed before, empty: none. Obeyed once, but for `BY_HAND`: brokers
    repeat theirs, also after one by hand."""


@dataclass(frozen=True, slots=True)
class State:
    """All that must survive a restart."""

    phase: Phase = Phase.IDLE
    reason: str = ""
    wanted: Wanted | None = None
    later: Wish | None = None
    """Said while a candidate was at work; its turn comes when that has ended."""
    active: str | None = None
    """The slot in use; None: what the settings name."""
    running: tuple[Reference, ...] = ()
    """What is in it."""
    history: tuple[str | None, ...] = ()
    """The slots before it, the latest last: the way back."""
    candidate: Candidate | None = None
    before: Record | None = None
    """How the bundle before the candidate did, for its probation."""
    starts: int = 0
    """Of the process since this trial or probation began, unless it was stopped on purpose."""
    stopped: bool = False
    """The process ended on purpose."""
    steady: str = ""
    """The boot in which the bundle on probation ran as long as one must; empty if it has not yet."""
    failed: tuple[str, ...] = ()
    """Slots that are not tried again until told so, latest last."""
    retried: str = ""
    """The last order to try them again that was obeyed, other than those by hand."""
    highest: dict[str, str] = field(default_factory=dict)
    """The highest version that was committed of each line, such as `model/press`."""
    pinned: bool = False
    outcomes: tuple[Outcome, ...] = ()
    """Not delivered yet, oldest first."""
    count: int = 0
    """Of outcomes ever."""
    complaint: str = ""
    """The last refusal: the same one again is no news."""
