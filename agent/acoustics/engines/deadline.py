"""Calls into code that may hang, raise anything, or end the process."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from agent.errors import EngineError

Result = TypeVar("Result")


class DeadlineThread:
    """One daemon thread that makes all calls, so that the caller can walk away from one that hangs.

    A thread cannot be killed: after the first call that hangs every further one is refused.
    """

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._stuck = False
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def call(self, function: Callable[[], Result], limit_s: float) -> Result:
        """Return what `function` returns.

        Raises:
            EngineError: it took longer than `limit_s`, raised anything, or one before it hung.
        """
        if self._stuck:
            raise EngineError("an earlier call into the NPU runtime never returned; restart the agent")
        ticket: Future[Result] = Future()
        self._jobs.put((function, ticket))
        try:
            return ticket.result(limit_s)
        except TimeoutError as error:
            self._stuck = True
            raise EngineError(f"the NPU runtime did not answer within {limit_s:g} s") from error

    def close(self) -> None:
        """Let the thread end, if it can."""
        self._jobs.put(None)

    def _work(self) -> None:
        while job := self._jobs.get():
            function, ticket = job
            try:
                ticket.set_result(function())
            except EngineError as error:
                ticket.set_exception(error)
            except BaseException as error:  # noqa: BLE001 (vendor code raises what it likes, SystemExit too)
                ticket.set_exception(EngineError(f"the NPU runtime raised {error!r}"))
