"""Room responses: simulated with pyroomacoustics, and the measured ones of the shared speech folder."""

from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from agent.audio.file import read_audio
from agent.audio.source import SAMPLE_RATE_HZ

SECONDS = 0.5
UNNATURAL = frozenset({"Reverse Gate.wav"})
"""An effect, not a room: it sounds before its cause."""


def _from_direct_sound(response: NDArray[np.float64]) -> NDArray[np.float16]:
    """Cut a response so that it begins 1 ms before its loudest peak, and scale that peak to 1."""
    peak = int(np.abs(response).argmax())
    cut = response[max(0, peak - SAMPLE_RATE_HZ // 1000) :][: int(SECONDS * SAMPLE_RATE_HZ)]
    cut = np.pad(cut, (0, int(SECONDS * SAMPLE_RATE_HZ) - len(cut)))
    return (cut / np.abs(cut).max()).astype(np.float16)


def simulate(seed: int) -> NDArray[np.float16]:
    """Simulate a random rectangular room, from an office to a hall, with a microphone 0.1-4 m away.

    Returns:
        Its response, [SECONDS at 16 kHz], from just before the direct sound on, which is 1.
    """
    import pyroomacoustics as pra  # slow to import

    rng = np.random.default_rng(seed)
    size = np.array([rng.uniform(3, 25), rng.uniform(3, 18), rng.uniform(2.4, 8)])
    t60 = rng.uniform(0.15, 0.9)
    while True:
        try:
            absorption, order = pra.inverse_sabine(t60, size)
            break
        except ValueError:  # so large a room cannot be so dry
            t60 *= 1.3
    room = pra.ShoeBox(size, fs=SAMPLE_RATE_HZ, materials=pra.Material(absorption), max_order=min(order, 12))
    microphone = rng.uniform(0.15, 0.85, 3) * size
    direction = rng.standard_normal(3)
    distance = np.exp(rng.uniform(np.log(0.1), np.log(4)))
    source = np.clip(microphone + direction / np.linalg.norm(direction) * distance, 0.1, size - 0.1)
    room.add_source(source)
    room.add_microphone(microphone)
    room.compute_rir()
    return _from_direct_sound(np.asarray(room.rir[0][0], np.float64))


def speak_in(room: NDArray[np.float16], speech: NDArray[np.int16], rng: Random) -> NDArray[np.int16]:
    """Return speech, shape [n], as it arrives in a room, up to 15 dB below what a microphone can take."""
    wet = fftconvolve(speech.astype(np.float32), room.astype(np.float32))
    level = 10 ** (rng.uniform(-15, 0) / 20) * 20_000 / max(1.0, float(np.abs(wet).max()))
    return (wet * level).astype(np.int16)


def bank(folder: Path, count: int) -> NDArray[np.float16]:
    """Return [R, samples]: the measured rooms in a folder of WAV files, then `count` simulated ones."""
    measured = [
        _from_direct_sound(read_audio(path) / 32768.0)
        for path in sorted(folder.glob("*.wav"))
        if path.name not in UNNATURAL
    ]
    return np.stack([*measured, *(simulate(seed) for seed in range(count))])
