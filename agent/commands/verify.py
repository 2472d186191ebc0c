"""Reading an audit log: is the chain whole, and what does it say?"""

import hashlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agent.commands.audit import log_files
from agent.commands.chain import GENESIS, Entry, unseal
from agent.errors import AuditError


@dataclass(slots=True)
class Examination:
    """What was found."""

    entries: int = 0
    first: int | None = None
    """Number of the oldest entry; above 0, older files have been removed."""
    head: str = GENESIS
    """Hash of the newest entry."""
    unfinished_bytes: int = 0
    """After the newest entry: being written now, or torn and not yet kept aside by a start."""
    faults: list[str] = field(default_factory=list)
    """File, line and what is wrong; empty: the chain is whole."""


def verify(directory: Path, expected: str | None = None) -> Examination:
    """Check every line, link and file of a log.

    Args:
        directory: the log.
        expected: hash of an entry, noted earlier and elsewhere, that must be there.

    Raises:
        AuditError: there is no log, or it cannot be read.
    """
    found = Examination()
    missing = expected
    next_sequence: int | None = None
    newest = _files(directory)[-1]
    for path in _files(directory):
        for number, line in enumerate(_lines(path), 1):
            place = f"{path.name}:{number}"
            if not line.endswith(b"\n"):
                if path == newest:
                    found.unfinished_bytes = len(line)
                else:
                    found.faults.append(f"{place}: the line is not finished")
                continue
            try:
                entry = unseal(line[:-1])
            except ValueError as error:
                found.faults.append(f"{place}: {error}")
                continue
            if found.first is None:
                found.first, next_sequence = entry.sequence, entry.sequence
                found.head = entry.previous if entry.sequence else GENESIS
            if entry.sequence != next_sequence:
                found.faults.append(f"{place}: entry {next_sequence} expected, entry {entry.sequence} found")
            elif entry.previous != found.head:
                found.faults.append(f"{place}: entry {entry.sequence} does not follow the one before it")
            found.faults += (f"{place}: {fault}" for fault in _lost(directory, entry))
            found.entries += 1
            next_sequence, found.head = entry.sequence + 1, entry.hash
            missing = None if entry.hash == missing else missing
    if missing:
        found.faults.append(f"no entry has the expected hash {missing}: the log was cut short or replaced")
    return found


def tail(directory: Path, count: int) -> list[Entry]:
    """Return the newest entries, oldest first.

    Raises:
        AuditError: there is no log, or it cannot be read.
    """
    newest: deque[Entry] = deque(maxlen=count)
    for path in reversed(_files(directory)):
        entries: deque[Entry] = deque(maxlen=count - len(newest))
        for line in _lines(path):
            try:
                entries.append(unseal(line.removesuffix(b"\n")))
            except ValueError:
                continue  # `verify` tells of it
        newest.extendleft(reversed(entries))
        if len(newest) == count:
            break
    return list(newest)


def _files(directory: Path) -> list[Path]:
    files = log_files(directory)
    if not files:
        raise AuditError(f"{directory}: no audit log here; give its directory")
    return files


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except OSError as error:
        raise AuditError(f"{path}: {error.strerror}; read it as the user that the agent runs as") from error


def _lost(directory: Path, entry: Entry) -> Iterator[str]:
    """Check that what a `torn` entry speaks of is still there, unchanged."""
    names = entry.fields.get("files")
    if entry.fields.get("kind") != "torn" or not isinstance(names, list):
        return
    for name in names:
        path = directory / Path(str(name)).name
        digest = path.stem.rpartition("-")[2]
        if not path.is_file():
            yield f"{path.name}, which was kept aside, is gone"
        elif hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            yield f"{path.name}, which was kept aside, was changed"
