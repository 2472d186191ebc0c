"""Where updates meet the running station: loads what they name, lets it take over between two utterances."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from agent.acoustics.engines.canary import require_canary
from agent.errors import EngineError, UpdateError, VoxlineError
from agent.health.snapshot import Snapshot, UpdatesHealth
from agent.hearing import Hearing
from agent.messaging.contract import Desired
from agent.messaging.payload import Payload
from agent.recognition.listener import Listener
from agent.settings import Settings
from agent.station import Ears, Vocabulary
from agent.updates.actions import NOTHING_UPDATED, Parts
from agent.updates.effects import CancelledError
from agent.updates.host import AgentHost, open_updater, record_of, wish_of, with_parts
from agent.updates.updater import BusyError, Updater

_POLL_S = 0.1

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class TakenOver:
    """The recognizer listens for another vocabulary; everything heard before was heard by the old one."""

    vocabulary: Vocabulary
    ears: Ears | None = None
    """Another model as well."""


class Exchange:
    """The updates of a running station.

    Making one counts a start of the process: make it before anything is loaded.

    Args:
        settings: of the station.
        post: puts `TakenOver`, hypotheses and choices of engines into the agent's inbox. Any thread.
        publish: puts a payload on its way, and tells whether that was done. Any thread.
    """

    def __init__(
        self, settings: Settings, post: Callable[[object], None], publish: Callable[[Payload], bool]
    ) -> None:
        self._settings, self._post = settings, post
        self._stopping = threading.Event()
        self._hearing: Hearing | None = None
        self._updater, self._fault = _open(settings, AgentHost(settings, self._swap, publish))

    def load(self) -> tuple[Ears, Vocabulary]:
        """Load what updates have put into use; where that is broken, what was in use before it.

        Raises:
            VoxlineError: what the settings name cannot be loaded, and nothing else is there.
        """
        if self._updater is None:
            return self._load(NOTHING_UPDATED)
        while True:
            try:
                return self._load(self._updater.parts)
            except VoxlineError as error:
                if self._updater.state.active is None:
                    raise
                log.error("update_unusable", reason=str(error))  # noqa: TRY400 (the reason says it all)
                try:
                    self._updater.step_back(str(error))
                except OSError as refusal:
                    self._fault = f"{error}; the way back: {refusal}"
                    log.critical("update_rollback_waits", reason=str(refusal))
                    return self._load(NOTHING_UPDATED)

    def start(self, hearing: Hearing) -> None:
        """Begin to update what this recognizer hears with."""
        self._hearing = hearing
        if self._updater:
            self._updater.start()

    def stop(self, *, on_purpose: bool) -> None:
        """End; call it before the recognizer is stopped. A crash must count as one, for probation."""
        self._stopping.set()
        if self._updater:
            self._updater.stop(on_purpose=on_purpose)

    def wish(self, desired: Desired) -> None:
        """Take note of what the plant wants to run."""
        if self._updater:
            self._updater.wish(wish_of(desired))

    def observe(self, snapshot: Snapshot) -> None:
        """Take note of how the station does, for probation."""
        if self._updater:
            self._updater.observe(record_of(snapshot))

    def health(self) -> UpdatesHealth:
        """Say why nothing can be updated."""
        return UpdatesHealth(self._fault)

    def _load(self, parts: Parts) -> tuple[Ears, Vocabulary]:
        ears = Ears(with_parts(self._settings, parts), self._post)
        try:
            return ears, ears.load_vocabulary()
        except Exception:
            ears.engine.close()
            raise

    def _swap(self, parts: Parts) -> None:
        """Let other parts take over in a pause. Runs in the updates' thread."""
        assert self._hearing  # noqa: S101 (for mypy: `start` sets it before that thread runs)
        ears, vocabulary = self._load(parts)
        try:
            require_canary(ears.bundle, ears.engine)  # the first run of an engine is slow, too
        except EngineError:
            ears.engine.close()
            raise
        fresh, faults, done = ears.listener(vocabulary), list[EngineError](), threading.Event()

        def take_over(listener: Listener) -> None:
            try:
                heard = listener.exchange(fresh.stream, fresh.recognizer)
                self._post(TakenOver(vocabulary, ears))
                for hypothesis in heard:
                    self._post(hypothesis)
            except EngineError as error:
                faults.append(error)
            done.set()

        self._hearing.change(take_over)
        while not done.wait(_POLL_S):  # without a microphone there is no pause to wait for
            if self._stopping.is_set():
                raise CancelledError
        if faults:
            ears.engine.close()
            raise faults[0]


def _open(settings: Settings, host: AgentHost) -> tuple[Updater | None, str]:
    """Take charge of updates, and say what is wrong with them: a station listens all the same."""
    updater = None
    try:
        updater = open_updater(settings, host)
        fault = updater.lacking if settings.updates.source else ""
    except BusyError:
        raise
    except (OSError, UpdateError) as error:
        fault = str(error)
    if fault:
        log.error("updates_off", reason=fault)
    return updater, fault
