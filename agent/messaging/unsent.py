"""What waits in memory for the link's thread: states, reports, and events that no outbox keeps."""

import threading
from collections import deque
from collections.abc import Iterable

from agent.messaging.namespace import Message


class Unsent:
    """Thread-safe; first in, first out. Full, it lets the oldest go that nobody would miss most.

    Of what the broker keeps that is the newest of each topic: nobody says it again while the link stands.

    Args:
        length: so many may wait.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._messages: deque[Message] = deque()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, *messages: Message) -> int:
        """Let messages wait; tell how many had to go for them."""
        with self._lock:
            self._messages.extend(messages)
            surplus = max(0, len(self._messages) - self._length)
            for _ in range(surplus):
                del self._messages[_dispensable(self._messages)]
            return surplus

    def take(self) -> Message | None:
        """Give the one that waits longest, if any does."""
        with self._lock:
            return self._messages.popleft() if self._messages else None

    def clear(self) -> list[Message]:
        """Let all go; they are returned."""
        with self._lock:
            messages = list(self._messages)
            self._messages.clear()
            return messages


def _dispensable(messages: Iterable[Message]) -> int:
    """Find the oldest that the broker would not keep, or keep no longer than until the next one."""
    newest = {message.topic: place for place, message in enumerate(messages)}
    places = enumerate(messages)
    return next((place for place, this in places if not this.retain or newest[this.topic] != place), 0)
