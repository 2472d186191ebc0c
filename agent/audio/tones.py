"""What an operator hears back: one short tone per outcome, told apart by rhythm and contour; pure."""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

_RAMP_S = 0.008
_PEAK = 0.5
_OVERTONE = 0.3
_REST = 0


class Tone(StrEnum):
    """What there is to say."""

    HEARD = "heard"
    """Someone spoke; being worked out."""
    ACCEPTED = "accepted"
    """Understood and sent."""
    REJECTED = "rejected"
    """Not understood: say it again."""
    CONFIRM = "confirm"
    """A question: confirm or cancel."""
    FAILED = "failed"
    """Understood, but it did not reach the machine."""
    REFUSED = "refused"
    """Understood, but not allowed: locked out, or the machine says no."""
    ARMED = "armed"
    """The wake phrase was heard: go on."""
    DONE = "done"
    """The machine says it is done."""


# (Hz, ms), 0 Hz being a pause. 350-1600 Hz passes ear protection; rising is good, falling is not, and no two
# share number of notes and contour, so that pitch need not be heard well.
_SCORES: dict[Tone, tuple[tuple[int, int], ...]] = {
    Tone.HEARD: ((1000, 80),),
    Tone.ACCEPTED: ((784, 90), (1175, 150)),
    Tone.REJECTED: ((622, 150), (415, 250)),
    Tone.CONFIRM: ((880, 90), (_REST, 70), (880, 90), (_REST, 70), (1319, 220)),
    Tone.FAILED: ((370, 110), (_REST, 60), (370, 110), (_REST, 60), (370, 110), (_REST, 60), (370, 220)),
    Tone.REFUSED: ((740, 110), (554, 110), (392, 260)),
    Tone.ARMED: ((1397, 70), (_REST, 60), (1397, 90)),
    Tone.DONE: ((784, 80), (988, 80), (1568, 260)),
}


def render(tone: Tone, rate_hz: int) -> NDArray[np.int16]:
    """Render a tone: mono, shape [n], peak at most half of full scale, ramped so that nothing clicks."""
    parts = [_note(hz, ms / 1000, rate_hz) for hz, ms in _SCORES[tone]]
    return np.rint(np.concatenate(parts) * _PEAK * 32767).astype(np.int16)


def _note(hz: int, seconds: float, rate_hz: int) -> NDArray[np.float64]:
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    if hz == _REST:
        return np.zeros_like(time_s)
    wave = np.sin(2 * np.pi * hz * time_s) + _OVERTONE * np.sin(4 * np.pi * hz * time_s)
    edge = np.minimum(time_s, time_s[::-1]) / _RAMP_S
    ramp = np.sin(np.pi / 2 * np.minimum(edge, 1)) ** 2
    return np.asarray(wave / (1 + _OVERTONE) * ramp, np.float64)
