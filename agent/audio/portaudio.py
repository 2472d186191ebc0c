"""PortAudio for the whole process: devices by name, streams, and a fresh look for devices that came back.

PortAudio lists devices once, when it is initialized, and that is once per process however many users it has.
So there is one `PortAudio` object, and `rescan` closes every stream in the process.
"""

import contextlib
import ctypes
import functools
import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType
from typing import Any

from agent.errors import AudioError

Callback = Callable[[bytes | None, int, dict[str, float], int], tuple[bytes | None, int]]
"""Data in, number of samples, PortAudio's times, status flags -> data out, continue or complete."""


@dataclass(frozen=True, slots=True)
class Device:
    """A sound device as PortAudio sees it now; `index` holds until the next `rescan`."""

    index: int
    name: str
    inputs: int
    outputs: int
    rate_hz: int
    is_default_input: bool
    is_default_output: bool


class PortAudio:
    """Use through `portaudio()`. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._pyaudio = _import_pyaudio()
        self._lock = threading.RLock()
        self._streams: set[Any] = set()
        self._session: Any = None
        _silence_libraries()
        _pin_plugin()

    def rescan(self) -> None:
        """Close every stream and initialize anew: the only way to see a device that was plugged in."""
        with self._lock, _quiet():
            for stream in list(self._streams):
                self._drop(stream)
            if self._session is not None:
                self._session.terminate()
            self._session = self._pyaudio.PyAudio()

    def devices(self) -> list[Device]:
        """All devices that were there at the last scan; the first call scans."""
        with self._lock:
            if self._session is None:
                self.rescan()
            default_input = self._default(self._session.get_default_input_device_info)
            default_output = self._default(self._session.get_default_output_device_info)
            found = map(self._session.get_device_info_by_index, range(self._session.get_device_count()))
            return [
                Device(
                    index=int(info["index"]),
                    name=str(info["name"]),
                    inputs=int(info["maxInputChannels"]),
                    outputs=int(info["maxOutputChannels"]),
                    rate_hz=int(info["defaultSampleRate"]),
                    is_default_input=info["index"] == default_input,
                    is_default_output=info["index"] == default_output,
                )
                for info in found
            ]

    def open(
        self, device: Device, rate_hz: int, samples: int, callback: Callback, *, output: bool = False
    ) -> Any:
        """Start a mono int16 stream; `callback` is called in PortAudio's thread with `samples` at a time.

        Raises OSError if the device is gone, busy, or refuses the rate.
        """
        with self._lock, _quiet():
            stream = self._session.open(
                rate_hz,
                1,
                self._pyaudio.paInt16,
                input=not output,
                output=output,
                input_device_index=None if output else device.index,
                output_device_index=device.index if output else None,
                frames_per_buffer=samples,
                stream_callback=callback,
            )
            self._streams.add(stream)
            return stream

    def is_active(self, stream: Any) -> bool:
        """Whether PortAudio still serves this stream: not after its end, a loss, `close` or `rescan`."""
        with self._lock:
            try:
                return stream in self._streams and bool(stream.is_active())
            except OSError:
                return False

    def close(self, stream: Any) -> None:
        """Close a stream, whatever state it is in; twice is fine."""
        with self._lock, _quiet():
            self._drop(stream)

    def _drop(self, stream: Any) -> None:
        if stream in self._streams:
            self._streams.remove(stream)
            # Only stop_stream lets the callback take the interpreter lock and end; close alone would wait for
            # it forever. Both complain about a device that has vanished, and close it nonetheless.
            with contextlib.suppress(OSError):
                stream.stop_stream()
            with contextlib.suppress(OSError):
                stream.close()

    @staticmethod
    def _default(ask: Callable[[], Any]) -> int | None:
        try:
            return int(ask()["index"])
        except OSError:
            return None


@functools.cache
def portaudio() -> PortAudio:
    """Give the one PortAudio of this process. Raises `AudioError` where PyAudio is not installed."""
    return PortAudio()


ANY = "*"
"""The pattern that every name fits: it stands for the system's default."""


def choose(devices: list[Device], pattern: str = ANY, *, output: bool = False) -> Device:
    """Choose a device by its whole name, `*` and `?` as in file names, upper and lower case alike.

    For `ANY` the system's default; among several the first. Raises `AudioError` naming what is there.
    """
    fitting = [device for device in devices if (device.outputs if output else device.inputs)]
    kind = "output" if output else "input"
    for device in fitting:
        if pattern == ANY:
            if device.is_default_output if output else device.is_default_input:
                return device
        elif fnmatchcase(device.name.lower(), pattern.lower()):
            return device
    wanted = f"no default {kind} device" if pattern == ANY else f"no {kind} device is named like '{pattern}'"
    there = ", ".join(f"'{device.name}'" for device in fitting) or "none at all"
    msg = f"{wanted}; there are: {there}"
    raise AudioError(msg)


def _import_pyaudio() -> ModuleType:
    try:
        import pyaudio
    except ImportError as error:
        msg = (
            "PyAudio is not installed, so there is no microphone and no tone. Install it with: "
            "apt-get install portaudio19-dev gcc python3-dev && pip install 'voxline[mic]'"
        )
        raise AudioError(msg) from error
    return pyaudio


def _silence_libraries() -> None:
    """Give ALSA and JACK, which complain on stderr of every device they do not find, a silent handler.

    Any C function does that ignores its arguments and has no effect; no Python, as it runs in audio threads.
    """
    nothing = ctypes.CDLL(None).getpid
    handlers = {
        "libasound.so.2": ("snd_lib_error_set_handler",),
        "libjack.so.0": ("jack_set_error_function", "jack_set_info_function"),
    }
    for library, setters in handlers.items():
        with contextlib.suppress(OSError):  # PortAudio may be built without it
            loaded = ctypes.CDLL(library)
            for setter in setters:
                getattr(loaded, setter)(nothing)


def _pin_plugin() -> None:
    """Keep ALSA's a52 plugin loaded, where it is installed.

    Each scan would load it and unload it again, and with it libavcodec, which leaks 12 kB each time: a
    microphone that is lost for a day would cost 400 MB.
    """
    maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    if alsa := re.search(r"(/\S*)/libasound\.so\.2", maps):
        with contextlib.suppress(OSError):  # not installed
            ctypes.CDLL(f"{alsa[1]}/alsa-lib/libasound_module_pcm_a52.so")  # nobody ever unloads it


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep PortAudio's own complaints off stderr; what others write meanwhile comes out after.

    It writes to the file descriptor itself and takes no handler.
    """
    with contextlib.ExitStack() as stack:
        saved = os.dup(2)
        stack.callback(os.close, saved)
        catcher = os.memfd_create("stderr")
        stack.callback(os.close, catcher)
        os.dup2(catcher, 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.lseek(catcher, 0, os.SEEK_SET)
            with os.fdopen(os.dup(catcher), "rb") as caught:
                kept = [line for line in caught if not line.startswith(b"Expression '")]
            for line in kept:
                os.write(2, line)
