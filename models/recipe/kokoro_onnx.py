"""Kokoro-82M on ONNX Runtime: the int8 model as published, one utterance at a time."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import soxr

from agent.audio.source import SAMPLE_RATE_HZ
from models.recipe.jobs import Job
from models.recipe.voices import Mix, load_styles, style

KOKORO_HZ = 24_000


class KokoroOnnx:
    """A voice for jobs; `folder` holds model.onnx, vocab.json and voices/."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            folder / "model.onnx", options, providers=["CPUExecutionProvider"]
        )
        self._vocabulary: dict[str, int] = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))[
            "vocab"
        ]
        self._styles = load_styles(folder / "voices")

    def raw(self, job: Job) -> npt.NDArray[np.float32]:
        """Speak a job: samples at 24 kHz, full scale 1."""
        tokens = [self._vocabulary[letter] for letter in job.spoken if letter in self._vocabulary]
        feeds = {
            "tokens": np.array([[0, *tokens, 0]], np.int64),
            "style": style(Mix.parse(job.mix), self._styles, len(tokens))[None],
            "speed": np.array([job.speed], np.float32),
        }
        audio: npt.NDArray[np.float32] = self._session.run(None, feeds)[0]
        return audio.reshape(-1)

    def speak(self, job: Job) -> npt.NDArray[np.int16]:
        """Speak a job: int16 at 16 kHz."""
        return to_int16(soxr.resample(self.raw(job), KOKORO_HZ, SAMPLE_RATE_HZ))


def to_int16(audio: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    """Full scale 1 to int16; louder than full scale is turned down as a whole, not clipped."""
    peak = max(1.0, float(np.abs(audio).max(initial=0.0)))
    return np.round(audio / peak * 32767).astype(np.int16)
