"""The outbox as the link uses it: what to keep, what to send next, and what is wrong with the disk.

A disk that fails takes the memory of events, never the events: they are sent while the link stands.
"""

import sqlite3

import structlog

from agent.messaging.channel import Keep
from agent.messaging.namespace import Message
from agent.messaging.outbox import Entry, Outbox

REST_S = 10.0
"""An outbox that cannot be read is left alone for so long."""

log = structlog.get_logger()


class Backlog:
    """What waits on disk. `keep` from any thread, `rewind`, `take` and `done` from the link's.

    Args:
        outbox: None where it could not be opened: then nothing is kept.
    """

    def __init__(self, outbox: Outbox | None) -> None:
        self._outbox = outbox
        self.fault = "" if outbox else "it could not be opened"
        """Why events are not kept, or are not sent from there; empty: all is well."""
        self._taken = 0
        self._rest_s = 0.0
        self._done: list[int] = []

    @property
    def depth(self) -> int:
        """How many messages wait."""
        return self._outbox.depth if self._outbox else 0

    @property
    def dropped(self) -> int:
        """How many messages the ring let go since the file was made."""
        return self._outbox.dropped if self._outbox else 0

    def keep(self, message: Message) -> bool:
        """Keep a message if its kind is to be kept; tell whether it is on disk."""
        if self._outbox is None or message.keep is Keep.NEVER:
            return False
        try:
            self._outbox.add(message)
        except sqlite3.Error as error:
            self._failed(error)
            return False
        self.fault = ""
        return True

    def rewind(self) -> None:
        """Begin with the oldest again, on a new connection."""
        self._taken = 0

    def take(self, limit: int, now_s: float) -> list[Entry]:
        """Give the next messages to send, at most `limit`, after those that were given before."""
        if self._outbox is None or now_s < self._rest_s:
            return []
        try:
            self._outbox.remove(self._done)
            self._done.clear()
            entries = self._outbox.waiting(self._taken, limit)
        except sqlite3.Error as error:
            self._failed(error)
            self._rest_s = now_s + REST_S  # not at each turn: a busy link would fill the journal
            return []
        if entries:
            self._taken = entries[-1].id
        return entries

    def done(self, entry_id: int) -> None:
        """Forget a message: the broker has it, or never takes it."""
        self._done.append(entry_id)

    def _failed(self, error: sqlite3.Error) -> None:
        self.fault = str(error)
        log.error("outbox_failed", error=str(error))
