"""Speech and noise mixed at a given signal-to-noise ratio: for the demo, for evaluation and for tests."""

import numpy as np
from numpy.typing import NDArray

from agent.audio.convert import FULL_SCALE, to_int16

_FRAME = 2048


def peak_energy(samples: NDArray[np.int16]) -> float:
    """Give the largest mean square (full scale 1) among consecutive frames of 2048 samples; shape [n], n > 0.

    A last frame that is not full counts as if filled up with zeros.
    """
    frames = np.pad(samples.astype(np.float64) / FULL_SCALE, (0, -len(samples) % _FRAME)).reshape(-1, _FRAME)
    return float(np.mean(frames**2, axis=1).max())


def mix(
    speech: NDArray[np.int16], noise: NDArray[np.int16], snr_db: float, *, offset: int = 0
) -> NDArray[np.int16]:
    """Lay noise under speech, shape of `speech`; noise starts at sample `offset` and is repeated as needed.

    The ratio is that of the largest 2048-sample frame energies of the speech and of the noise that is used. A
    mixture beyond full scale is turned down as a whole, which keeps the ratio. Silent speech or noise has no
    ratio: `ValueError`.
    """
    bed = np.take(noise, np.arange(offset, offset + len(speech)), mode="wrap")
    speech_energy, noise_energy = peak_energy(speech), peak_energy(bed)
    if not speech_energy or not noise_energy:
        msg = "speech and noise must both hold sound to be mixed at a ratio"
        raise ValueError(msg)
    gain = np.sqrt(speech_energy / noise_energy / 10 ** (snr_db / 10))
    mixture = (speech.astype(np.float64) + gain * bed) / FULL_SCALE
    peak = np.abs(mixture).max()
    return to_int16((mixture / max(1.0, peak)).astype(np.float32))
