"""What the update's state machine is told; people's wishes are in `state`, which keeps one for later."""

from dataclasses import dataclass

from agent.updates.probation import Record
from agent.updates.release import Reference
from agent.updates.state import Candidate, Wish


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
