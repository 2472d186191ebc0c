"""What the state machine's effects do: each talks to repository, disk or station and says what came of it."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import structlog

from agent.acoustics.manifest import FileEntry
from agent.errors import UpdateError, VoxlineError
from agent.updates.download import download
from agent.updates.effects import Activate, CancelledError, Check, Effect, Fetch, Revert, Try
from agent.updates.events import (
    Event,
    Failed,
    Fetched,
    Found,
    Passed,
    Reverted,
    Swapped,
    Trouble,
)
from agent.updates.floor import UntrustedError
from agent.updates.release import (
    GRAMMAR_FILE,
    Channel,
    Kind,
    Reference,
    Release,
    decode,
    decode_all,
    order,
    slot_digest,
)
from agent.updates.state import Candidate, Outcome, State, Wanted
from agent.updates.store import Store
from agent.updates.transports.transport import OBJECTS, Transport, UnreachableError
from agent.updates.trust import Trust

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Parts:
    """What runs together."""

    model: Path | None
    """Folder of a bundle; None: the one that the settings name."""
    grammar: Path | None
    """File of a grammar; None: the one that the settings name."""


NOTHING_UPDATED = Parts(None, None)


class Host(Protocol):
    """What updates want of the rest of the agent. Called in the updates' thread, which each may block."""

    def swap(self, parts: Parts) -> None:
        """Let these parts work from the next pause between utterances on; return when they do.

        Raises:
            VoxlineError: they cannot; what was at work still is.
            CancelledError: the agent stops before they do.
        """

    def try_out(self, parts: Parts, new: Mapping[Kind, Release], interrupted: Callable[[], bool]) -> str:
        """Try parts on a spare engine; return why they fail, empty if they pass.

        Raises:
            CancelledError: it was interrupted.
        """

    def report(self, state: State, bytes_done: int) -> None:
        """Tell the plant how the update stands."""

    def conclude(self, outcome: Outcome) -> bool:
        """Put an outcome where it survives until it was delivered; return whether that was done."""


class Actions:
    """Carries effects out, in one thread.

    Args:
        store: the station's bundles.
        host: the rest of the agent.
        repository: or why there is none.
        interrupted: whether a long action should make way.
        on_bytes: called with the size of each chunk that arrives.
    """

    def __init__(
        self,
        store: Store,
        host: Host,
        repository: Trust | str,
        interrupted: Callable[[], bool],
        on_bytes: Callable[[int], None],
    ) -> None:
        self._store, self._host, self._repository = store, host, repository
        self._interrupted, self._on_bytes = interrupted, on_bytes
        if isinstance(repository, Trust):
            repository.transport.interrupted = interrupted
        self._documents: dict[str, dict[Kind, bytes]] = {}
        """Release documents of slots that were found, by digest."""

    def close(self) -> None:
        """Give connections back."""
        if isinstance(self._repository, Trust):
            self._repository.transport.close()

    def carry_out(self, effect: Effect) -> Event | None:
        """Do it and say what came of it; None if it was interrupted.

        Raises:
            OSError: the disk refuses what only this station can do; it must be done all the same.
        """
        with contextlib.suppress(CancelledError):
            match effect:
                case Check(wanted):
                    return self._troubled(lambda: self._check(wanted))
                case Fetch(candidate, keep):
                    return self._troubled(lambda: self._fetch(candidate, keep))
                case Try(candidate):
                    return self._troubled(lambda: self._try(candidate))
                case Activate(slot):
                    return self._activate(slot)
                case Revert(slot):
                    return self._revert(slot)
        return None

    def parts(self, slot: str | None) -> Parts:
        """Return what runs together in a slot.

        Raises:
            UpdateError: the slot is damaged.
        """
        grammar = self._store.part(slot, Kind.GRAMMAR)
        return Parts(self._store.part(slot, Kind.MODEL), grammar and grammar / GRAMMAR_FILE)

    def running(self, slot: str | None) -> tuple[Reference, ...]:
        """Return what is in a slot.

        Raises:
            UpdateError: the slot is damaged.
        """
        return tuple(release.reference for release in decode_all(self._store.documents(slot)).values())

    def past(self) -> datetime | None:
        """Return a moment that has passed for certain, if one is known."""
        return self._repository.past() if isinstance(self._repository, Trust) else None

    def _troubled(self, action: Callable[[], Event]) -> Event:
        try:
            return action()
        except UnreachableError as error:
            return Trouble(str(error), final=error.final)
        except UpdateError as error:
            return Trouble(str(error), final=True)
        except OSError as error:
            return Trouble(f"disk: {error}", final=False)

    def _check(self, wanted: Wanted) -> Event:
        if isinstance(self._repository, str):
            raise UpdateError(self._repository)
        self._repository.refresh()
        documents = self._store.documents(self._store.active())
        documents |= find_documents(wanted, self._repository)
        slot = slot_digest(documents)
        self._documents[slot] = documents
        releases = list(decode_all(documents).values())
        size_bytes = sum(entry.size_bytes for entry in self._store.missing(releases))
        return Found(Candidate(slot, tuple(release.reference for release in releases), size_bytes))

    def _fetch(self, candidate: Candidate, keep: tuple[str | None, ...]) -> Event:
        assert isinstance(self._repository, Trust)  # noqa: S101 (for mypy: `_check` came before)
        documents = self._documents[candidate.slot]
        releases = list(decode_all(documents).values())
        self._store.require_space(releases, keep)
        for entry in self._store.missing(releases):
            self._obtain(entry, self._repository.transport)
        self._store.build(documents)
        return Fetched(candidate.slot)

    def _obtain(self, entry: FileEntry, transport: Transport) -> None:
        path = self._store.partial(entry.sha256)
        resumed = path.exists()
        download(transport, OBJECTS + entry.sha256, entry.size_bytes, path, self._count)
        try:
            self._store.accept(entry)
        except UpdateError:
            if not resumed:
                raise
            # The part that was here may be what is wrong: a disk or an earlier server spoilt it.
            download(transport, OBJECTS + entry.sha256, entry.size_bytes, path, self._count)
            self._store.accept(entry)

    def _count(self, size_bytes: int) -> None:
        self._on_bytes(size_bytes)
        if self._interrupted():
            raise CancelledError

    def _try(self, candidate: Candidate) -> Event:
        active = self._store.documents(self._store.active())
        documents = self._store.documents(candidate.slot)
        new = decode_all({kind: raw for kind, raw in documents.items() if raw != active.get(kind)})
        fault = self._host.try_out(self.parts(candidate.slot), new, self._interrupted)
        return Failed(candidate.slot, fault) if fault else Passed(candidate.slot)

    def _activate(self, slot: str) -> Event:
        try:
            self._store.activate(slot)
            self._host.swap(self.parts(slot))
        except VoxlineError as error:
            return Failed(slot, str(error))
        return Swapped(slot)

    def _revert(self, slot: str | None) -> Event:
        active = self.point_back(slot)
        try:
            self._host.swap(self.parts(active))
        except VoxlineError as error:
            # The link is right, so the next start is; there is nothing better to fall back to.
            log.critical("update_rollback_needs_restart", reason=str(error))
        return Reverted(active, self.running(active))

    def point_back(self, slot: str | None) -> str | None:
        """Point the link at an older slot, or if that is gone or damaged at what the settings name.

        Returns:
            What it points at.

        Raises:
            OSError: the disk refuses.
        """
        try:
            self._store.activate(slot)
        except UpdateError as error:
            log.error("update_older_slot_gone", reason=str(error))  # noqa: TRY400
            self._store.activate(None)
        return self._store.active()


def find_documents(wanted: Wanted, trust: Trust) -> dict[Kind, bytes]:
    """Return the signed documents of the releases that are wanted.

    Raises:
        UpdateError: the repository has no such release or channel, cannot be trusted or reached, or this
            agent is too old for the release.
    """
    documents = {}
    for reference in _references(wanted, trust):
        raw = trust.read(reference.target)
        if raw is None:
            raise UpdateError(f"{reference}: the repository has no such release")
        release = decode(Release, raw, reference.target)
        if release.reference != reference:
            raise UntrustedError(f"{reference.target} is the document of {release.reference}")
        if order(release.min_agent_version) > order(version("voxline")):
            raise UpdateError(f"{reference} needs Voxline {release.min_agent_version} or newer")
        documents[reference.kind] = raw
    return documents


def _references(wanted: Wanted, trust: Trust) -> tuple[Reference, ...]:
    if not wanted.follow:
        return wanted.releases
    target = Channel.target(wanted.follow)
    raw = trust.read(target)
    if raw is None:
        raise UpdateError(f"the repository has no channel {wanted.follow}")
    return decode(Channel, raw, target).references
