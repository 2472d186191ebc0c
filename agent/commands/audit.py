"""The audit log: append-only, hash-chained JSON lines that survive whatever stops the agent.

`append` hands the line to the kernel in one write: after a SIGKILL at any byte it is there, or it is torn.
`sync` makes it survive a power cut; call it every second, away from the path of commands, for on flash it may
take 100 ms. A torn end is found at the next start and kept aside; the chain goes on with an entry about it.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from pydantic import JsonValue

from agent import durable
from agent.commands.chain import GENESIS, Entry, seal, unseal
from agent.errors import AuditError

MAX_FILE_BYTES = 4 * 2**20
KEEP_FILES = 64
"""About 400,000 decisions; older files are removed, and the chain says so."""
_CLOSED = -1
_FULL = (errno.ENOSPC, errno.EDQUOT)


def log_files(directory: Path) -> list[Path]:
    """Return the files of a log, oldest first; each is named after its first entry's number."""
    return sorted(directory.glob(f"audit-{'[0-9]' * 12}.jsonl"))


class AuditLog:
    """The writer. Not thread-safe.

    Args:
        directory: made where missing; belongs to this log alone.
        max_file_bytes: a file that has grown to this is followed by another.
        keep_files: so many are kept.

    Raises:
        AuditError: the directory cannot be used, or another agent writes there. A full disk is none here: it
            keeps entries out until there is space, and the station from nothing.

    """

    def __init__(
        self, directory: Path, *, max_file_bytes: int = MAX_FILE_BYTES, keep_files: int = KEEP_FILES
    ) -> None:
        self._directory = directory
        self._max_file_bytes = max_file_bytes
        self._keep_files = keep_files
        self._synced = True
        self._file = _CLOSED
        self._next, self._head = 0, GENESIS
        try:
            directory.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._lock = os.open(directory / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise AuditError(f"{directory}: {error.strerror}; the audit log must be writable") from error
        self._missed = 0
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._missed = os.fstat(self._lock).st_size
            self._resume(datetime.now(UTC))
        except BlockingIOError as error:
            os.close(self._lock)
            raise AuditError(f"{directory}: another agent writes this audit log; stop it first") from error
        except OSError as error:
            self._close_file()
            if error.errno not in _FULL:
                os.close(self._lock)
                raise AuditError(f"{directory}: {error.strerror}; the audit log must be writable") from error
            self._miss()  # at least the entry that is torn; `append` tries again

    def append(self, fields: Mapping[str, JsonValue], time: datetime) -> None:
        """Write an entry.

        Raises:
            AuditError: it could not be written. The next one that can will say how many are missing.
        """
        try:
            if self._file == _CLOSED:
                self._resume(time)
            if self._missed:
                self._write({"kind": "gap", "missed": self._missed}, time)
                self._missed = 0
                os.ftruncate(self._lock, 0)
            self._rotate(time)
            self._write(fields, time)
        except OSError as error:
            self._miss()
            self._close_file()  # whatever was written of the line is torn: the next try begins like a start
            raise AuditError(f"{self._directory}: {error.strerror}; free space or repair the disk") from error

    def sync(self) -> None:
        """Make all entries survive a power cut; free where nothing was appended since.

        Raises:
            AuditError: the disk failed.
        """
        try:
            if self._file != _CLOSED and not self._synced:
                os.fdatasync(self._file)
                self._synced = True
        except OSError as error:
            raise AuditError(f"{self._directory}: {error.strerror}; repair the disk") from error

    def close(self) -> None:
        """Sync and let another agent write."""
        try:
            self.sync()
        finally:
            self._close_file()
            os.close(self._lock)

    def _miss(self) -> None:
        """Count a lost entry, for the next start, too: the size of a file takes no space on a full disk."""
        self._missed += 1
        with contextlib.suppress(OSError):
            os.ftruncate(self._lock, self._missed)

    def _write(self, fields: Mapping[str, JsonValue], time: datetime) -> None:
        stamp = time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line, digest = seal({"time": stamp, **fields}, self._next, self._head)
        self._synced = False
        if os.write(self._file, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._next, self._head = self._next + 1, digest

    def _resume(self, time: datetime) -> None:
        """Find the end of the chain, keep aside what is torn, and open the newest file."""
        self._next, self._head = 0, GENESIS
        files = log_files(self._directory)
        for path in reversed(files):
            content = path.read_bytes()
            last, end = _last_entry(content)
            if end < len(content):
                self._keep_aside(path, content[end:], end, last)
            if last:
                self._next, self._head = last.sequence + 1, last.hash
                break
        path = files[-1] if files else self._directory / _name(self._next)
        self._file = _open(path)
        durable.sync(self._directory)
        torn = self._unmentioned()
        if torn:
            self._write({"kind": "torn", "files": list(torn)}, time)

    def _keep_aside(self, path: Path, torn: bytes, end: int, last: Entry | None) -> None:
        sequence = last.sequence + 1 if last else int(path.stem.removeprefix("audit-"))
        aside = self._directory / f"torn-{sequence:012d}-{hashlib.sha256(torn).hexdigest()}.bin"
        durable.write_file(aside, torn)
        with path.open("r+b") as file:
            file.truncate(end)
            os.fsync(file.fileno())

    def _unmentioned(self) -> list[str]:
        """Return what was kept aside and no entry speaks of: the entry would have the number in its name."""
        return sorted(path.name for path in self._directory.glob(f"torn-{self._next:012d}-*.bin"))

    def _rotate(self, time: datetime) -> None:
        if os.fstat(self._file).st_size < self._max_file_bytes:
            return
        os.fdatasync(self._file)
        self._close_file()
        self._file = _open(self._directory / _name(self._next))
        durable.sync(self._directory)
        surplus = log_files(self._directory)[: -self._keep_files]
        if surplus:
            self._write({"kind": "pruned", "files": [path.name for path in surplus]}, time)
        for path in surplus:
            path.unlink()

    def _close_file(self) -> None:
        if self._file != _CLOSED:
            os.close(self._file)
            self._file = _CLOSED


def _name(sequence: int) -> str:
    return f"audit-{sequence:012d}.jsonl"


def _open(path: Path) -> int:
    return os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o640)


def _last_entry(content: bytes) -> tuple[Entry | None, int]:
    """Find the last whole entry and where it ends; what follows is torn."""
    end = content.rfind(b"\n") + 1
    while end:
        start = content.rfind(b"\n", 0, end - 1) + 1
        try:
            return unseal(content[start : end - 1]), end
        except ValueError:
            end = start
    return None, 0
