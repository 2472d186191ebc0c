"""A thread that keeps a connection: what breaks it, a fault of our own included, only has it begin again."""

import contextlib
import socket
import threading
from collections.abc import Callable

import structlog
import tenacity

from agent.messaging.backoff import Backoff
from agent.messaging.session import LinkDownError, Session

STOP_S = 10.0
"""A thread that has not ended by then is left behind."""

log = structlog.get_logger()


class Supervised:
    """Calls `serve` again and again, with pauses between, until it is told to stop.

    Args:
        name: of the thread, and before what is logged.
        spread_s: see `Backoff`.
        serve: connects and stays connected; raises when the connection is lost, returns when `stopping`.
        on_loss: told why it was lost.
    """

    def __init__(
        self,
        name: str,
        spread_s: float,
        serve: Callable[[], None],
        on_loss: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.stopping = threading.Event()
        self._name, self._serve, self._on_loss = name, serve, on_loss
        self._backoff = Backoff(spread_s)
        self._told = ""
        self._wake, self._waker = socket.socketpair()
        self._wake.setblocking(False)
        self._waker.setblocking(False)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to connect, in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Have `serve` return, and wait for that a while."""
        self.stopping.set()
        self.nudge()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def nudge(self) -> None:
        """End `wait` early: there is something to send. Any thread."""
        with contextlib.suppress(BlockingIOError):  # full of wake-ups already
            self._waker.send(b"\0")

    def stand(self) -> None:
        """Note that the connection stands: the next pause is a short one, and its loss is news."""
        self._backoff.reset()
        self._told = ""

    def wait(self, session: Session, timeout_s: float) -> None:
        """Wait for the network or a nudge, and do what the network asks for."""
        session.step(self._wake, timeout_s)
        with contextlib.suppress(BlockingIOError):
            self._wake.recv(4096)

    def _run(self) -> None:
        supervised = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Exception),
            wait=self._backoff,
            before_sleep=self._report,
            sleep=tenacity.sleep_using_event(self.stopping),
            stop=tenacity.stop_when_event_set(self.stopping),
            retry_error_callback=lambda _: None,
        )
        supervised(self._serve)

    def _report(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome and state.outcome.exception()
        reason = str(error) or type(error).__name__
        if reason != self._told:  # not at each try: an outage of a night would fill the journal
            unexpected = error if not isinstance(error, LinkDownError) else None
            log.warning(
                f"{self._name}_down",
                reason=reason,
                retry_in_s=round(state.upcoming_sleep, 1),
                exc_info=unexpected,
            )
        self._told = reason
        self._on_loss(reason)
