"""What follows from the state of an update, see `machine.awaited`. How it went is told as an event."""

from dataclasses import dataclass

from agent.updates.state import Candidate, Wanted


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
