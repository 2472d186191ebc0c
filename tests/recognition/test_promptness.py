"""The shipped model hears that a command is over when it is, not when the next hop is full."""

import numpy as np

from agent.audio.file import read_audio
from agent.evaluation.listening import Ear, frames, in_room
from agent.recognition.hypothesis import Hypothesis

PATIENCE_S = 0.16
EDGE_S = 0.06
"""What a window's last frame lies before its end, and the grid of frames and microphone blocks."""


def test_a_command_is_reported_soon_after_its_last_sound_wherever_the_hops_fall(ear: Ear) -> None:
    clip = read_audio(ear.bundle.folder / "golden/04-stop-conveyor-two.opus")
    hop = ear.bundle.manifest.hop_samples
    waits_s = []
    for before in range(0, hop, hop // 6):
        sound = in_room(np.concatenate((np.zeros(before, np.int16), clip)), None, None, seed=0)
        reported_s, heard = _first(ear, sound)
        assert heard.command == "conveyor_stop"
        waits_s.append(reported_s - heard.end_s)
    assert min(waits_s) > PATIENCE_S
    assert max(waits_s) < PATIENCE_S + EDGE_S + hop / 3 / 16_000


def _first(ear: Ear, sound: np.ndarray) -> tuple[float, Hypothesis]:
    """Return the first utterance, and how much was heard by then, seconds."""
    listener, at = ear.listener(), 0
    for frame in frames(sound):
        heard = listener.hear(frame, at / 16_000)
        at += len(frame)
        if heard:
            return at / 16_000, heard[0]
    raise AssertionError("nothing was heard")
