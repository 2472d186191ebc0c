"""Plays tones and reads lines to the operator, in a thread of its own: nobody waits for a loudspeaker."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import structlog

from agent.audio.portaudio import ANY, choose, portaudio
from agent.audio.speech import speak
from agent.audio.tones import Tone, render
from agent.errors import AudioError

_WAITING = 4
"""Tones that may wait: more would be heard long after what they speak of."""
_CHUNK_S = 0.02
_POLL_S = 0.02
_TAIL_S = 0.2
"""Silence after each tone: PortAudio drops what is in its buffers when a stream completes."""
_GRACE_S = 2.0
_LEAVE_S = 10.0
_ECHO_S = 0.3
"""Between asking for a sound and the end of its echo, beyond its own length."""
_CONTINUE, _COMPLETE = 0, 1  # PortAudio's paContinue and paComplete

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Line:
    """What is read aloud after a tone."""

    text: str
    language: str


class TonePlayer:
    """Plays on the first output whose name fits `pattern`.

    The device is held only while a tone sounds. A missing or broken loudspeaker is reported in `failure` and
    tried again at the next tone; one that was plugged in later is seen after the microphone was opened anew.
    Raises `AudioError` when made, if PyAudio is not installed.

    Args:
        pattern: see `choose`.
        before: called in the player's thread before each sound with the time for which it will be heard: the
            station must not take it for an operator.
    """

    def __init__(self, pattern: str = ANY, before: Callable[[float], None] = lambda _seconds: None) -> None:
        self._audio = portaudio()
        self._pattern = pattern
        self._before = before
        self._queue: queue.Queue[tuple[Tone, Line | None] | None] = queue.Queue(_WAITING)
        self.played = 0
        """Tones played to their end."""
        self.dropped = 0
        """Tones given up because too many waited."""
        self.failure: str | None = None
        """Why the last tone did not sound; nothing if it did."""
        self._thread = threading.Thread(target=self._run, name="tones", daemon=True)
        self._thread.start()

    def play(self, tone: Tone, line: Line | None = None) -> None:
        """Play as soon as the tones before it are over, then read the line, if any. Returns at once."""
        try:
            self._queue.put_nowait((tone, line))
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Stop after the tones that wait; a loudspeaker that holds them up is not waited for."""
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=_LEAVE_S)
        self._thread.join(_LEAVE_S)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            tone, line = item
            try:
                self._sound(tone, line)
            except (AudioError, OSError) as error:
                if self.failure is None:
                    _log.warning("tone_failed", tone=tone, reason=str(error))
                self.failure = str(error)
            except Exception as error:  # noqa: BLE001 - one bad tone must not make the station mute for good
                _log.exception("tone_broke", tone=tone)
                self.failure = f"{type(error).__name__}: {error}"
            else:
                self.played += 1
                self.failure = None

    def _sound(self, tone: Tone, line: Line | None) -> None:
        device = choose(self._audio.devices(), self._pattern, output=True)
        samples = np.pad(render(tone, device.rate_hz), (0, round(device.rate_hz * _TAIL_S)))
        unread: AudioError | None = None
        if line:
            try:
                spoken = speak(line.text, line.language, device.rate_hz)
                samples = np.pad(np.concatenate([samples, spoken]), (0, round(device.rate_hz * _TAIL_S)))
            except AudioError as error:  # the tone says the most important part
                unread = error
        self._before(len(samples) / device.rate_hz - _TAIL_S + _ECHO_S)
        feed = _Feed(samples.tobytes())
        chunk = round(device.rate_hz * _CHUNK_S)
        stream = self._audio.open(device, device.rate_hz, chunk, feed.callback, output=True)
        try:
            deadline_s = time.monotonic() + len(samples) / device.rate_hz + _GRACE_S
            while self._audio.is_active(stream):
                if time.monotonic() > deadline_s:
                    msg = f"'{device.name}' takes no sound"
                    raise AudioError(msg)
                time.sleep(_POLL_S)
            if not feed.ended:
                msg = f"'{device.name}' was lost during the tone"
                raise AudioError(msg)
        finally:
            self._audio.close(stream)
        if unread:
            raise unread


class _Feed:
    """Hands out bytes to PortAudio's thread until they end."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self.ended = False

    def callback(self, _data: Any, count: int, _times: Any, _status: int) -> tuple[bytes, int]:
        chunk, self._data = bytes(self._data[: 2 * count]), self._data[2 * count :]
        self.ended = not self._data
        return chunk.ljust(2 * count, b"\0"), _COMPLETE if self.ended else _CONTINUE
