"""The front end: samples to the rows that a model takes in, hop by hop.

A front end remembers one window of rows and moves on by one hop at a time, so nothing is computed twice.
"""

from copy import deepcopy
from functools import cache
from typing import Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from agent.acoustics.manifest import (
    MEL_BANDS,
    MEL_HOP_SAMPLES,
    MEL_WINDOW_SAMPLES,
    LogMel,
    Manifest,
    Waveform,
)
from agent.audio.source import SAMPLE_RATE_HZ

_TO_UNIT = np.float32(1 / 32768)
MEL_FFT = 512
MEL_LOW_HZ, MEL_HIGH_HZ = 20.0, 7600.0
MEL_FLOOR = np.float32(1e-8)
"""Added to the energy of a band: 16-bit sound has no detail below it."""


class FrontEnd(Protocol):
    """Samples in, one window of rows out."""

    def push(self, samples: NDArray[np.int16]) -> NDArray[np.float32]:
        """Move on by one hop of new samples; return [rows, channels], valid until the next call."""

    def reset(self) -> None:
        """Forget all sound: the window is silent again."""

    def copy(self) -> "FrontEnd":
        """Return an independent one that has heard the same."""


class WaveformFrontEnd:
    """Sound scaled to -1..1, cut into the rows that the model's first convolution sees."""

    def __init__(self, spec: Waveform, window_samples: int) -> None:
        self._spec = spec
        self._window = np.zeros(window_samples, np.float32)
        # a view, which follows the window
        self._rows = sliding_window_view(self._window, spec.kernel_samples)[:: spec.stride_samples]

    def push(self, samples: NDArray[np.int16]) -> NDArray[np.float32]:
        """Move on by one hop of new samples; return [rows, channels], valid until the next call."""
        _shift_in(self._window, _unit(samples))
        return self._rows

    def reset(self) -> None:
        """Forget all sound: the window is silent again."""
        self._window[:] = 0

    def copy(self) -> "WaveformFrontEnd":
        """Return an independent one that has heard the same."""
        other = WaveformFrontEnd(self._spec, len(self._window))
        other._window[:] = self._window
        return other


class LogMelFrontEnd:
    """Normalized log-mel bands, 25 ms every 10 ms."""

    def __init__(self, spec: LogMel, window_samples: int) -> None:
        self._mean = np.array(spec.mean, np.float32)
        self._deviation = np.array(spec.deviation, np.float32)
        self._rows = np.empty((spec.rows(window_samples), MEL_BANDS), np.float32)
        self._tail = np.zeros(MEL_WINDOW_SAMPLES - MEL_HOP_SAMPLES, np.float32)
        self.reset()

    def push(self, samples: NDArray[np.int16]) -> NDArray[np.float32]:
        """Move on by one hop of new samples; return [rows, channels], valid until the next call."""
        sound = np.concatenate((self._tail, _unit(samples)))
        self._tail[:] = sound[-len(self._tail) :]
        _shift_in(self._rows, self._normal(log_mel(sound))[-len(self._rows) :])
        return self._rows

    def reset(self) -> None:
        """Forget all sound: the window is silent again."""
        self._tail[:] = 0
        self._rows[:] = self._normal(log_mel(np.zeros(MEL_WINDOW_SAMPLES, np.float32)))

    def copy(self) -> "LogMelFrontEnd":
        """Return an independent one that has heard the same."""
        return deepcopy(self)

    def _normal(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        normal: NDArray[np.float32] = (features - self._mean) / self._deviation
        return normal


def front_end(manifest: Manifest) -> FrontEnd:
    """Make the front end that a bundle asks for."""
    if isinstance(manifest.front_end, LogMel):
        return LogMelFrontEnd(manifest.front_end, manifest.window_samples)
    return WaveformFrontEnd(manifest.front_end, manifest.window_samples)


def window_rows(manifest: Manifest, samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """Return the rows [rows, channels] of one whole window, samples of shape [window_samples]."""
    to_the_grid = np.zeros(-len(samples) % MEL_HOP_SAMPLES, np.int16)
    return front_end(manifest).push(np.concatenate((to_the_grid, samples)))


def log_mel(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the natural logarithm of 80 mel energies per 10 ms.

    Args:
        sound: shape [n], -1..1, 16 kHz, n >= 400.

    Returns:
        Shape [(n - 400) // 160 + 1, 80], float32. Row i covers samples 160 i to 160 i + 400.
    """
    frames = sliding_window_view(sound, MEL_WINDOW_SAMPLES)[::MEL_HOP_SAMPLES]
    spectrum = np.fft.rfft(frames * _hann(), MEL_FFT)
    power = spectrum.real**2 + spectrum.imag**2
    logarithm: NDArray[np.float32] = np.log(power @ mel_matrix() + MEL_FLOOR)
    return logarithm


@cache
def mel_matrix() -> NDArray[np.float32]:
    """Return the triangular filters, shape [257, 80], peak 1, HTK mel scale, 20 to 7600 Hz."""
    bins_hz = np.arange(MEL_FFT // 2 + 1) * (SAMPLE_RATE_HZ / MEL_FFT)
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (MEL_LOW_HZ, MEL_HIGH_HZ))
    edges_hz = 700 * (10 ** (np.linspace(low, high, MEL_BANDS + 2) / 2595) - 1)
    left, centre, right = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    rising = (bins_hz[:, None] - left) / (centre - left)
    falling = (right - bins_hz[:, None]) / (right - centre)
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


@cache
def _hann() -> NDArray[np.float32]:
    phase = 2 * np.pi * np.arange(MEL_WINDOW_SAMPLES) / MEL_WINDOW_SAMPLES
    return (0.5 - 0.5 * np.cos(phase)).astype(np.float32)


def _unit(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    return np.multiply(samples, _TO_UNIT, dtype=np.float32)


def _shift_in(window: NDArray[np.float32], new: NDArray[np.float32]) -> None:
    """Drop the oldest entries of `window` in place and append `new`."""
    kept = len(window) - len(new)
    if kept <= 0:
        window[:] = new[-len(window) :]
        return
    window[:kept] = window[len(new) :]  # numpy takes care of the overlap
    window[kept:] = new
