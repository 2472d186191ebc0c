"""Events that must outlive an outage, a crash or a power cut, on disk until the broker has them.

Commands never come here: a command that waits is a danger.
"""

import contextlib
import itertools
import json
import sqlite3
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import structlog

from agent.messaging.channel import Keep
from agent.messaging.namespace import Message

RING_LENGTH = 1000


log = structlog.get_logger()

_SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    keep TEXT NOT NULL,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,
    properties TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS outbox_keep ON outbox (keep, id);
CREATE TABLE IF NOT EXISTS dropped (count INTEGER NOT NULL);
INSERT INTO dropped SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM dropped);
"""
_INSERT = "INSERT INTO outbox (keep, topic, payload, properties) VALUES (?, ?, ?, ?)"
_WAITING = "SELECT id, keep, topic, payload, properties FROM outbox WHERE id > ? ORDER BY id LIMIT ?"
_TRIM = """
DELETE FROM outbox WHERE keep = 'ring' AND id <= (
    SELECT id FROM outbox WHERE keep = 'ring' ORDER BY id DESC LIMIT 1 OFFSET ?
)
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A message that waits."""

    id: int
    """Grows with every message."""
    message: Message


class Outbox:
    """A queue on disk: `add` from any thread; `waiting` and `remove` from the link's thread.

    Two connections, so that the link's thread, which carries commands, never waits for the disk behind `add`.

    Args:
        path: the database; its folder is made. A file that is no database is set aside.
        ring_length: how many messages of `Keep.RING` are kept.

    Raises:
        OSError: the folder cannot be made.
        sqlite3.Error: the disk is full or fails.

    """

    def __init__(self, path: Path, ring_length: int = RING_LENGTH) -> None:
        self._ring_length = ring_length
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._writer = _open(path)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            aside = path.with_suffix(".damaged")
            log.error("outbox_damaged", error=str(error), kept_as=str(aside))  # noqa: TRY400 - no surprise
            path.rename(aside)
            for end in ("-wal", "-shm"):
                path.with_name(path.name + end).unlink(missing_ok=True)
            self._writer = _open(path)
        self._reader = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        self._reader.execute("PRAGMA synchronous = NORMAL")  # what is removed twice is sent twice: no harm
        self._reader.execute("PRAGMA wal_autocheckpoint = 0")
        self._reader.text_factory = bytes  # what a worn disk has changed may be no text
        self._unremoved: set[int] = set()
        self._damaged = False
        # Counted in memory, so that a health report needs no disk; each number is written by one thread only.
        self._added: int = self._writer.execute("SELECT count(*) FROM outbox").fetchone()[0]
        self._dropped: int = self._writer.execute("SELECT count FROM dropped").fetchone()[0]
        self._removed = 0

    def add(self, message: Message) -> None:
        """Keep a message; it is on disk when this returns.

        Raises:
            ValueError: it must never be kept.
            sqlite3.Error: the disk is full or fails, or was found damaged: what cannot be read is not kept.

        """
        if message.keep is Keep.NEVER:
            raise ValueError(f"a message on {message.topic} must not wait")
        if self._damaged:
            raise sqlite3.DatabaseError("the file is damaged; restart the agent, which sets it aside")
        row = (message.keep, message.topic, message.payload, json.dumps(message.user_properties))
        with self._lock:
            trimmed = 0
            with self._writer:
                self._writer.execute("BEGIN IMMEDIATE")
                self._writer.execute(_INSERT, row)
                if message.keep is Keep.RING:
                    trimmed = self._writer.execute(_TRIM, (self._ring_length,)).rowcount
                if trimmed:
                    self._writer.execute("UPDATE dropped SET count = count + ?", (trimmed,))
            self._added += 1 - trimmed
            self._dropped += trimmed

    def waiting(self, after: int, limit: int) -> list[Entry]:
        """Give the oldest messages whose id is above `after`, at most `limit`, in order.

        Raises:
            sqlite3.Error: the disk fails, or the file is damaged.

        """
        try:
            rows = self._reader.execute(_WAITING, (after, limit + len(self._unremoved))).fetchall()
        except sqlite3.DatabaseError as error:
            self._damaged = _is_damage(error)
            raise
        entries: list[Entry] = []
        for n, *columns in rows:
            if n in self._unremoved:
                continue
            if len(entries) == limit:
                break
            try:
                entries.append(Entry(n, _message(*columns)))
            except (ValueError, TypeError) as error:  # sent or not, it would stand before all others for ever
                log.error("outbox_entry_damaged", id=n, error=str(error))  # noqa: TRY400 - no bug of ours
                self._unremoved.add(n)
        return entries

    def remove(self, ids: Iterable[int]) -> None:
        """Forget messages that the broker has; where the disk is not free, the next call tries again."""
        self._unremoved.update(ids)
        if not self._unremoved:
            return
        with contextlib.suppress(sqlite3.OperationalError):
            with self._reader:
                self._reader.execute("BEGIN IMMEDIATE")
                ids_of_rows = [(n,) for n in self._unremoved]
                deleted = self._reader.executemany("DELETE FROM outbox WHERE id = ?", ids_of_rows).rowcount
            self._removed += deleted
            self._unremoved.clear()

    @property
    def depth(self) -> int:
        """How many messages wait."""
        return self._added - self._removed

    @property
    def dropped(self) -> int:
        """How many messages the ring let go since the file was made."""
        return self._dropped

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()
        self._writer.close()


def open_outbox(path: Path) -> Outbox | None:
    """Open an outbox; None where the disk does not let us: then events are not kept, and all else goes on."""
    try:
        return Outbox(path)
    except (OSError, sqlite3.Error) as error:
        log.error("no_outbox", path=str(path), error=str(error))  # noqa: TRY400 - no bug of ours
        return None


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        error = sqlite3.DatabaseError(found)
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error
    connection.executescript(_SCHEMA)
    return connection


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Tell a file whose content is wrong from a disk that is full or fails."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)  # Python's own errors have none
    primary = code & 0xFF  # the upper bytes say where (sqlite.org/rescode.html)
    return primary in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


def _message(keep: bytes, topic: bytes, payload: bytes, properties: bytes) -> Message:
    """Read a row. Raises `ValueError` or `TypeError` if it is damaged so that a broker would not bear it."""
    attributes = tuple((name, value) for name, value in json.loads(properties))
    name = topic.decode()
    if not name or not all(map(str.isprintable, (name, *itertools.chain(*attributes)))):
        raise ValueError("no topic or property of ours")
    return Message(
        topic=name,
        payload=payload,
        qos=1,
        retain=False,
        keep=Keep(keep.decode()),
        expiry_s=None,
        user_properties=attributes,
    )
