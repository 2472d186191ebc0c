"""A microphone that comes back: opened by name through PortAudio, lost and found again as often as needed."""

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import structlog
from tenacity import (
    RetryCallState,
    RetryError,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_exponential,
)

from agent.audio.capture import Capture
from agent.audio.portaudio import ANY, choose, portaudio
from agent.audio.source import SAMPLE_RATE_HZ, Frame
from agent.errors import AudioError

_POLL_S = 0.25
_NO_SOUND_S = 2.0
"""Without a callback for so long the stream is dead, whatever PortAudio says."""
_FIRST_SOUND_S = 4.0
"""The same for the first callback: a sound server that slept takes up to 2 s."""
_LONGEST_WAIT_S = 2.5
"""Between attempts: found again within 5 s, but no oftener, for each scan costs 50 ms."""
_RATES_HZ = (SAMPLE_RATE_HZ, 48_000, 32_000, 44_100)
"""Tried in this order: ours needs no resampling, multiples of it keep a stuck buffer recognizable."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class MicrophoneState:
    """What health shows of the microphone."""

    device: str | None = None
    """Full name of the open device; nothing while it is lost."""
    rate_hz: int | None = None
    """Rate it was opened at."""
    reason: str | None = "not opened yet"
    """Why it is lost; nothing while it is open."""
    attempts: int = 0
    """To open it, since it was lost: goes up while it is looked for."""
    losses: int = 0
    """Since the start."""


class Microphone:
    """The first input whose name fits `pattern`, see `choose`.

    An absent, busy, unplugged or dead device is no error: `frames` waits for it and goes on when it is back.
    Raises `AudioError` when made, if PyAudio is not installed.
    """

    def __init__(self, pattern: str = ANY) -> None:
        self._audio = portaudio()
        self._pattern = pattern
        self._closed = threading.Event()
        self._state = MicrophoneState()
        self._capture: Capture | None = None
        self._past_overruns = 0

    @property
    def state(self) -> MicrophoneState:
        """Open or lost, and why. Any thread may ask."""
        return self._state

    @property
    def overruns(self) -> int:
        """How often sound was lost because it was not fetched in time: by PortAudio or by us."""
        return self._past_overruns + (self._capture.overruns if self._capture else 0)

    def frames(self) -> Iterator[Frame]:
        """Yield frames until `close`; a gap in their times is where the device was lost or overran."""
        opening = Retrying(
            retry=retry_if_exception_type((AudioError, OSError)),
            wait=wait_exponential(multiplier=0.25, max=_LONGEST_WAIT_S),
            stop=stop_when_event_set(self._closed),
            sleep=sleep_using_event(self._closed),
            before_sleep=self._note_attempt,
        )
        while not self._closed.is_set():
            try:
                capture, stream = opening(self._open)
            except RetryError:
                return
            self._capture = capture
            try:
                yield from self._listen(capture, stream)
            finally:
                self._audio.close(stream)
                self._past_overruns, self._capture = self.overruns, None

    def close(self) -> None:
        """Stop within a quarter of a second; the device is released."""
        self._closed.set()

    def _open(self) -> tuple[Capture, Any]:
        self._audio.rescan()
        device = choose(self._audio.devices(), self._pattern)
        refusals = {}
        for rate_hz in _RATES_HZ:
            capture = Capture(rate_hz)
            try:
                stream = self._audio.open(device, rate_hz, capture.chunk_samples, capture.callback)
            except OSError as error:
                refusals[_text(error)] = error
                continue
            self._state = MicrophoneState(device.name, rate_hz, None, 0, self._state.losses)
            _log.info("microphone_open", device=device.name, rate_hz=rate_hz)
            return capture, stream
        msg = f"'{device.name}' is there but cannot be opened: {', '.join(refusals)}"
        raise AudioError(msg)

    def _listen(self, capture: Capture, stream: Any) -> Iterator[Frame]:
        last_s, patience_s = time.monotonic(), _FIRST_SOUND_S
        while not self._closed.is_set():
            try:
                frames = capture.read(_POLL_S)
            except queue.Empty:
                if not self._audio.is_active(stream):
                    return self._note_loss("the device is gone")
                if time.monotonic() - last_s > patience_s:
                    return self._note_loss(f"no sound for {patience_s:g} s")
                continue
            yield from frames
            last_s, patience_s = time.monotonic(), _NO_SOUND_S

    def _note_loss(self, reason: str) -> None:
        lost = self._state
        self._state = MicrophoneState(reason=reason, losses=lost.losses + 1)
        _log.warning("microphone_lost", device=lost.device, reason=reason)

    def _note_attempt(self, attempt: RetryCallState) -> None:
        reason = str(attempt.outcome.exception()) if attempt.outcome else ""
        if reason != self._state.reason:
            _log.warning("microphone_not_found", reason=reason)
        self._state = replace(self._state, reason=reason, attempts=attempt.attempt_number)


def _text(error: OSError) -> str:
    """PyAudio raises OSError(PortAudio's code, its text), and ValueError's cousins with text only."""
    return str(error.args[-1]) if error.args else repr(error)
