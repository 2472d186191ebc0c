"""Audio files of any rate, channel count and format that libsndfile reads (WAV, FLAC, Ogg, Opus, MP3 ...)."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from agent.audio.convert import Resampler
from agent.errors import AudioError

_BLOCK_S = 0.25
_LOWEST_HZ, _HIGHEST_HZ = 4_000, 768_000
_MOST_CHANNELS = 64


class _Straight(soundfile.SoundFile):  # type: ignore[misc]
    """Reads straight on. SoundFile seeks after every block, which garbles MP3 (libsndfile 1.2.2)."""

    def seekable(self) -> bool:
        return False


def read_blocks(path: Path) -> Iterator[NDArray[np.int16]]:
    """Open now, then yield blocks [n] of 16 kHz mono int16, channels averaged, in constant memory.

    Raises `AudioError` at once if the file cannot be opened as sound, and while reading if it is damaged.
    """
    try:
        file = _Straight(path)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        reason = getattr(error, "error_string", str(error)).rstrip(".") if path.exists() else "no such file"
        msg = f"{path}: cannot be read as sound: {reason}. WAV, FLAC, Ogg, Opus, MP3 and AIFF are understood."
        raise AudioError(msg) from error
    if not (_LOWEST_HZ <= file.samplerate <= _HIGHEST_HZ and 1 <= file.channels <= _MOST_CHANNELS):
        file.close()
        msg = (
            f"{path}: its header claims {file.channels} channels at {file.samplerate} Hz; "
            f"understood are 1-{_MOST_CHANNELS} at {_LOWEST_HZ}-{_HIGHEST_HZ} Hz. Is the file damaged?"
        )
        raise AudioError(msg)
    return _blocks(path, file)


def read_audio(path: Path) -> NDArray[np.int16]:
    """Read the whole file as 16 kHz mono int16, shape [n], n > 0. Raises `AudioError` like `read_blocks`."""
    samples = np.concatenate(list(read_blocks(path)))
    if not len(samples):  # a sample or two at a higher rate
        msg = f"{path}: holds no sound"
        raise AudioError(msg)
    return samples


def require_audio(paths: Iterable[Path]) -> None:
    """See that all files begin as sound. Raises `AudioError` like `read_blocks`."""
    for path in paths:
        next(read_blocks(path))


def _blocks(path: Path, file: soundfile.SoundFile) -> Iterator[NDArray[np.int16]]:
    rate_hz = file.samplerate
    resampler = Resampler(rate_hz)
    position = 0
    with file:
        while True:
            try:
                block = file.read(int(rate_hz * _BLOCK_S), dtype="float32", always_2d=True)
            except (OSError, RuntimeError) as error:
                msg = f"{path}: damaged after {position / rate_hz:.2f} s: {error}"
                raise AudioError(msg) from error
            if not len(block):
                break
            with np.errstate(invalid="ignore", over="ignore"):
                mono = block.mean(axis=1)
            if not np.isfinite(mono).all():
                msg = f"{path}: damaged after {position / rate_hz:.2f} s: samples that are not numbers"
                raise AudioError(msg)
            position += len(block)
            yield resampler.push(mono)
    if not position:
        msg = f"{path}: holds no sound"
        raise AudioError(msg)
    yield resampler.push(np.empty(0, np.float32), last=True)
