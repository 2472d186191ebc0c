"""What tests of updates need: a repository with keys, releases of small files, an obedient station."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.acoustics.manifest import FileEntry
from agent.errors import UpdateError
from agent.updates.actions import Parts
from agent.updates.effects import CancelledError
from agent.updates.keys import make_key
from agent.updates.probation import Terms
from agent.updates.release import GRAMMAR_FILE, Kind, Reference, Release, digest_of
from agent.updates.repository import ReleaseRepository
from agent.updates.state import Outcome, Phase, State, Wanted, Wish
from agent.updates.transports.folder import Folder
from agent.updates.transports.transport import Transport
from agent.updates.trust import Trust
from agent.updates.updater import Updater

MAIN = {Kind.MODEL: "manifest.json", Kind.GRAMMAR: GRAMMAR_FILE}
NEVER = Terms(600, 10)
"""Of a probation that no test waits for."""
ROLES = ("root", "targets", "snapshot", "timestamp")


def make_repository(folder: Path) -> ReleaseRepository:
    keys = folder.with_name(folder.name + "-keys")
    keys.mkdir(parents=True)
    uris = {role: [make_key(keys / f"{role}.pem")] for role in ROLES}
    repository = ReleaseRepository.create(folder, uris, {})
    repository.publish()
    return repository


def release(
    repository: ReleaseRepository,
    reference: str,
    files: Mapping[str, bytes] | None = None,
    role: str = "targets",
    **others: Any,
) -> Reference:
    """Add a release whose files are made up; its main file says what it is."""
    named = Reference.parse(reference)
    contents = {MAIN[named.kind]: reference.encode(), **(files or {})}
    folder = repository.public.parent / "drafts" / reference
    entries = {}
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        entries[name] = FileEntry(sha256=digest_of(content), size_bytes=len(content))
    made = Release(kind=named.kind, name=named.name, version=named.version, files=entries, **others)
    repository.add(made, {name: folder / name for name in contents}, role)
    return named


def root_of(repository: ReleaseRepository) -> bytes:
    return (repository.public / "metadata" / "1.root.json").read_bytes()


def wanted(*references: str) -> Wanted:
    return Wanted(tuple(map(Reference.parse, references)))


def wish(*references: str) -> Wish:
    return Wish(wanted(*references))


@dataclass(eq=False)
class Obedient:
    """A station that does what it is told, and can be told to fail."""

    swaps: list[Parts] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    fault: str = ""
    unusable: Callable[[Parts], bool] = lambda _parts: False

    def swap(self, parts: Parts) -> None:
        if self.unusable(parts):
            raise UpdateError("it does not start")
        self.swaps.append(parts)

    def try_out(self, parts: Parts, new: Mapping[Kind, Release], interrupted: Callable[[], bool]) -> str:
        assert new
        assert parts.model or parts.grammar
        if interrupted():
            raise CancelledError
        return self.fault

    def report(self, state: State, bytes_done: int) -> None:
        assert bytes_done >= 0
        if not self.phases or self.phases[-1] is not state.phase:
            self.phases.append(state.phase)

    def conclude(self, outcome: Outcome) -> bool:
        self.outcomes.append(outcome)
        return True


def make_trust(folder: Path, repository: ReleaseRepository, transport: Transport, **others: Any) -> Trust:
    folders = folder / "metadata", folder / "documents", folder / "floor.json"
    return Trust(root_of(repository), *folders, transport, **others)


def make_updater(
    folder: Path,
    repository: ReleaseRepository,
    station: Obedient,
    transport: Transport | None = None,
    name: str = "press-2",
    terms: Terms = NEVER,
) -> Updater:
    way = transport or Folder(repository.public)
    trust = make_trust(folder / "trust", repository, way)
    return Updater(folder, name, station, trust, reserve_bytes=0, terms=terms, check_interval_s=3600)
