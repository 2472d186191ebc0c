"""The shipped model hears one thing said after another: when is the second a command?"""

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.acoustics.bundle import Bundle
from agent.audio.file import read_audio
from agent.evaluation.listening import Ear, in_room

STOP = "04-stop-conveyor-two.opus"
TALK = "48-have-you-seen-my-gloves-this-morning.opus"


def said(bundle: Bundle, file: str, level: float = 3000.0) -> NDArray[np.int16]:
    """Read a golden utterance without the silence around it, at one loudness (RMS, of 32768)."""
    sound = read_audio(bundle.folder / "golden" / file).astype(float)
    loud = np.flatnonzero(np.abs(sound) > 400)
    sound = sound[loud[0] : loud[-1]]
    factor = level / float(np.sqrt((sound**2).mean()))
    return np.clip(sound * factor, -32768, 32767).astype(np.int16)


@pytest.mark.parametrize(
    ("first", "level", "pause_s", "heard"),
    [
        (TALK, 3000, 0.2, []),
        (TALK, 3000, 1.5, ["conveyor_stop"]),
        (TALK, 750, 0.2, ["conveyor_stop"]),  # 12 dB softer: somebody else
        ("02-start-belt-two.opus", 3000, 0.2, ["conveyor_start", "conveyor_stop"]),
        ("43-hey-voxline.opus", 3000, 0.0, ["voxline.wake", "conveyor_stop"]),
    ],
)
def test_a_command_follows_a_pause_or_another_command(
    bundle: Bundle, ear: Ear, first: str, level: float, pause_s: float, heard: list[str]
) -> None:
    parts = said(bundle, first, level), np.zeros(round(pause_s * 16_000), np.int16), said(bundle, STOP)
    sound = in_room(np.concatenate(parts), None, None, seed=0)
    assert [one.command for one in ear.listen(sound) if one.reject is None] == heard
