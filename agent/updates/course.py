"""The words of the update's state machine: phases, the state that survives, events and effects."""

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
class State:
    """All that must survive a restart."""

    phase: Phase = Phase.IDLE
    reason: str = ""
    wanted: Wanted | None = None
    later: "Wish | None" = None
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


@dataclass(frozen=True, slots=True)
class Started:
    """The process runs again."""

    active: str | None
    """Where the link points: what is truly in use."""
    running: tuple[Reference, ...]
    """What is in it."""
    boot: str = ""
    """Of the machine, another one each time; empty if it does not say."""


@dataclass(frozen=True, slots=True)
class Stopping:
    """The process ends on purpose."""


@dataclass(frozen=True, slots=True)
class Steady:
    """The bundle on probation has run as long as one must, though nobody may have spoken yet."""

    boot: str


@dataclass(frozen=True, slots=True)
class Wish:
    """Somebody wants something to run."""

    wanted: Wanted
    retry: str = ""
    """Names an order to try also what failed before, empty: none. Obeyed once, but for `BY_HAND`: brokers
    repeat theirs, also after one by hand."""


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Nobody wants it any more."""


@dataclass(frozen=True, slots=True)
class Found:
    """The repository has what is wanted."""

    candidate: Candidate


@dataclass(frozen=True, slots=True)
class Trouble:
    """It could not be had."""

    reason: str
    final: bool
    """To try again is no use before something changes."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """All files are here."""

    slot: str


@dataclass(frozen=True, slots=True)
class Passed:
    """The trial went well."""

    slot: str


@dataclass(frozen=True, slots=True)
class Go:
    """Now is a good time."""

    before: Record | None
    """How the bundle in use has done."""


@dataclass(frozen=True, slots=True)
class Swapped:
    """The candidate is at work."""

    slot: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The candidate failed its trial, its activation or its probation."""

    slot: str
    reason: str


@dataclass(frozen=True, slots=True)
class Healthy:
    """Probation is over."""

    slot: str
    reason: str
    """The evidence."""


@dataclass(frozen=True, slots=True)
class Rollback:
    """Somebody wants the slot before this one back, or this one cannot be used any more."""

    reason: str


@dataclass(frozen=True, slots=True)
class Reverted:
    """An older slot is at work again."""

    active: str | None
    running: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class Pin:
    """Nothing may change, or may again."""

    pinned: bool


@dataclass(frozen=True, slots=True)
class Delivered:
    """The plant has got an outcome."""

    id: int


Event = (
    Started | Stopping | Wish | Withdraw | Found | Trouble | Fetched | Passed | Go | Swapped | Failed
    | Steady | Healthy | Rollback | Reverted | Pin | Delivered
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Check:
    """Ask the repository: gives Found or Trouble."""

    wanted: Wanted


@dataclass(frozen=True, slots=True)
class Fetch:
    """Get the files: gives Fetched or Trouble."""

    candidate: Candidate
    keep: tuple[str | None, ...]
    """Slots that stay, however short space is."""


@dataclass(frozen=True, slots=True)
class Try:
    """Try it on the spare engine: gives Passed, Failed or Trouble."""

    candidate: Candidate


@dataclass(frozen=True, slots=True)
class Activate:
    """Point the link at it and let it work: gives Swapped or Failed."""

    slot: str


@dataclass(frozen=True, slots=True)
class Revert:
    """Point the link back and let the old one work: gives Reverted."""

    slot: str | None


Effect = Check | Fetch | Try | Activate | Revert


class CancelledError(Exception):
    """What was under way made way for something else; the state asks for it again."""
