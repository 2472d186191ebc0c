"""A second opinion on synthetic English: Moonshine tiny listens, and what it mishears is dropped.

Heard and intended text are compared by their sounds, so that "3" and "three" are the same. The listener
guesses words from context, so single odd sounds are forgiven; garbled or cut speech is not.
"""

from pathlib import Path

import moonshine_voice
import numpy as np
from moonshine_voice.moonshine_api import ModelArch
from moonshine_voice.transcriber import Transcriber

from agent.audio.source import SAMPLE_RATE_HZ

WORST = 0.34
"""Largest share of sounds (0 to 1) that may be heard wrong."""


class SecondOpinion:
    """Moonshine tiny, English, whole clips at a time."""

    def __init__(self) -> None:
        model = Path(moonshine_voice.__file__).parent / "assets" / "tiny-en"
        # The clip is all speech: no voice detector may cut it.
        self._transcriber = Transcriber(model, ModelArch.TINY, options={"vad_threshold": "0.0"})

    def hear(self, audio: np.ndarray) -> str:
        """Transcribe int16 samples at 16 kHz."""
        silence = np.zeros(SAMPLE_RATE_HZ // 4, np.float32)
        padded = np.concatenate([silence, audio.astype(np.float32) / 32768, silence])
        lines = self._transcriber.transcribe_without_streaming(padded.tolist(), SAMPLE_RATE_HZ).lines
        return " ".join(line.text for line in lines)
