"""A push-to-talk button that comes back: read in a thread, lost and found again as often as needed."""

import threading
from collections.abc import Callable
from typing import Protocol

import structlog

from agent.commands.events import Button as Pressed

_POLL_S = 0.25
_RETRY_S = 1.0

log = structlog.get_logger()


class Contact(Protocol):
    """An opened button."""

    def read(self, timeout_s: float) -> list[bool]:
        """Wait for changes; give them in order, True where it went down.

        Raises:
            OSError: the device is gone.
        """

    def close(self) -> None:
        """Give the device back."""


class Button:
    """Tells of every press and release. An absent button is waited for; one that vanishes counts as released.

    Only a press that is seen counts: a button that is down when it is opened arms nothing.

    Args:
        open_contact: opens the device. Raises `OSError` if it is not there.
        post: takes the events, in the button's thread; must not block.
    """

    def __init__(self, open_contact: Callable[[], Contact], post: Callable[[Pressed], None]) -> None:
        self._open, self._post = open_contact, post
        self._stopping = threading.Event()
        self.failure = "not opened yet"
        """Why the button cannot be read; empty while it can."""
        self._thread = threading.Thread(target=self._run, name="button", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop within a quarter of a second."""
        self._stopping.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                contact = self._open()
            except OSError as error:
                self._fail(error)
                self._stopping.wait(_RETRY_S)
                continue
            self.failure = ""
            log.info("button_open")
            try:
                self._listen(contact)
            except OSError as error:
                self._fail(error)
            finally:
                self._post(Pressed(pressed=False))  # whatever it was, nobody can let it go any more
                contact.close()

    def _listen(self, contact: Contact) -> None:
        while not self._stopping.is_set():
            for pressed in contact.read(_POLL_S):
                self._post(Pressed(pressed))

    def _fail(self, error: OSError) -> None:
        reason = str(error)
        if reason != self.failure:
            log.warning("no_button", reason=reason)
        self.failure = reason
