"""What a model bundle says about itself: the typed form of `manifest.json`.

All lengths are in samples at 16 kHz unless a name says otherwise.
"""

import re
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.types import StringConstraints

from agent.audio.source import SAMPLE_RATE_HZ
from agent.names import ReleaseName, Version

ONNX_FILE = "model.onnx"
CANARY_SAMPLES_FILE = "canary.samples.i16"
"""Raw little-endian int16 [window_samples]."""
CANARY_LOGITS_FILE = "canary.logits.f32"
"""Raw little-endian float32 [frames, tokens]."""

MEL_BANDS = 80
MEL_WINDOW_SAMPLES = 400
"""25 ms."""
MEL_HOP_SAMPLES = 160
"""10 ms."""

MAX_TOKENS = 4096
MAX_WINDOW_SAMPLES = 60 * SAMPLE_RATE_HZ
MAX_FILE_BYTES = 256 * 2**20
MAX_FILES = 1000

Text = Annotated[str, StringConstraints(min_length=1, max_length=4000)]
Token = Annotated[str, StringConstraints(min_length=1, max_length=16, pattern=r"^\S+$")]
_PART = r"[0-9A-Za-z_][0-9A-Za-z_.-]*"
FileName = Annotated[
    str,
    StringConstraints(max_length=200, pattern=f"^{_PART}(/{_PART})*$"),
]
"""Relative, `/` between folders, no hidden parts: nothing that a file system could read as a way out."""
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Samples = Annotated[int, Field(gt=0, le=MAX_WINDOW_SAMPLES)]
Nats = Annotated[float, Field(ge=-1000, le=1000)]
Probability = Annotated[float, Field(ge=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Calibration(_Strict):
    """What was fitted for this model at one operating point, on speech that training never saw."""

    blank_penalty: Nats
    """Taken from the log-probability of blank in every frame."""
    loop_penalty: Nats
    """Taken per sound of the free phone loop that competes with the grammar."""
    entry_penalty: Nats
    """Taken when a sentence begins."""
    min_margin: Nats
    """By which the best sentence must beat the best one that means something else."""
    min_probability: Probability
    """That the sentence is what was said."""
    min_clarity: Nats = -1000.0
    """Per sound, see `agent.recognition.confidence.clarity`. Where noise drowns speech the free loop fits
    nothing either, and a long sentence gains on it by guessing."""
    max_talk_before: Probability = 1.0
    """See `agent.recognition.talk`: what is said in the middle of talk is a part of it."""
    weights: dict[str, Annotated[float, Field(ge=-1e6, le=1e6)]]
    """Of the logistic map from the decoder's scores to a probability; `bias` is one of them."""


class OperatingPoints(_Strict):
    """How ready the recognizer is to accept: `low` favours hearing, `high` favours refusing."""

    low: Calibration
    normal: Calibration
    high: Calibration

    def at(self, name: str) -> Calibration:
        """Return one of them by its name.

        Raises:
            KeyError: there is none of that name.
        """
        return {"low": self.low, "normal": self.normal, "high": self.high}[name]


class Tradeoff(_Strict):
    """What calibration saw at one probability, of all that it listened to."""

    probability: Probability
    """Less sure readings refused."""
    exact: Probability
    """Share of real commands, clean and in noise, that are understood exactly."""
    wrong: Probability
    """Share of the same that are taken for another command."""
    near_misses: Probability
    """Share of sentences one sound away from a command that are taken for it."""
    false_accepts_per_hour: Annotated[float, Field(ge=0)]
    """In speech and noise that hold no command."""


class Waveform(_Strict):
    """The model's first layer is its own filter bank: the host only frames and scales to -1..1."""

    kind: Literal["waveform"]
    kernel_samples: Samples = 1
    """With `stride_samples`: the host cuts the window into the rows that the first convolution would see."""
    stride_samples: Samples = 1

    @property
    def channels(self) -> int:
        """Values per row of the model's input."""
        return self.kernel_samples

    def rows(self, window_samples: int) -> int:
        """Return how many rows of input a window gives."""
        return (window_samples - self.kernel_samples) // self.stride_samples + 1


class LogMel(_Strict):
    """80 log-mel bands per 10 ms; mean and deviation of every band are those of the training data."""

    kind: Literal["logmel"]
    mean: Annotated[tuple[float, ...], Field(min_length=MEL_BANDS, max_length=MEL_BANDS)]
    deviation: Annotated[
        tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=MEL_BANDS, max_length=MEL_BANDS)
    ]

    @property
    def channels(self) -> int:
        """Values per row of the model's input."""
        return MEL_BANDS

    def rows(self, window_samples: int) -> int:
        """Return how many rows of input a window gives."""
        return (window_samples - MEL_WINDOW_SAMPLES) // MEL_HOP_SAMPLES + 1


class Tensor(_Strict):
    """An input or output of `model.onnx`, and which of its axes mean something; the others have length 1."""

    name: Text
    shape: Annotated[tuple[Annotated[int, Field(gt=0, le=2**24)], ...], Field(min_length=2, max_length=5)]
    time_axis: Annotated[int, Field(ge=0, le=4)]
    channel_axis: Annotated[int, Field(ge=0, le=4)] | None = None
    """None where there is one channel and the tensor has no axis for it."""

    @model_validator(mode="after")
    def _axes_exist(self) -> Self:
        axes = {self.time_axis, self.channel_axis} - {None}
        if any(axis is not None and axis >= len(self.shape) for axis in axes):
            raise ValueError("time_axis and channel_axis must be axes of shape")
        if self.time_axis == self.channel_axis:
            raise ValueError("time_axis and channel_axis must differ")
        if any(length != 1 for axis, length in enumerate(self.shape) if axis not in axes):
            raise ValueError("every axis of shape but time_axis and channel_axis must have length 1")
        return self

    @property
    def rows(self) -> int:
        """Steps in time."""
        return self.shape[self.time_axis]

    @property
    def channels(self) -> int:
        """Values per step."""
        return 1 if self.channel_axis is None else self.shape[self.channel_axis]

    def from_rows(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Arrange [rows, channels] as the tensor wants it, as a view."""
        return (rows.T if self._channels_first else rows).reshape(self.shape)

    def to_rows(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return [rows, channels] of an array of this tensor's shape, as a view."""
        if self._channels_first:
            return tensor.reshape(self.channels, self.rows).T
        return tensor.reshape(self.rows, self.channels)

    @property
    def _channels_first(self) -> bool:
        return self.channel_axis is not None and self.channel_axis < self.time_axis


class Npu(_Strict):
    """How the `.rknn` files of the bundle were made and want to be fed."""

    toolkit_version: Version
    runtime_version: Version
    """The oldest librknnrt.so that these files were made for."""
    input_layout: Literal["nhwc", "nchw"] | None = None
    """What the runtime is handed; None for an input that has not four axes. The ONNX input is `nchw`."""
    min_correlation: Probability = 0.9
    """Of the NPU's answer to the canary with that of the ONNX model: about 1 for fp16, less for int8."""


class Training(_Strict):
    """Where the model's knowledge comes from."""

    summary: Text
    hours: Annotated[float, Field(ge=0)]
    data: tuple[Text, ...]
    """One line per corpus: name, what was used, licence."""


class Rights(_Strict):
    """Whose work the weights are."""

    licence: Text
    """SPDX expression."""
    attribution: tuple[Text, ...]


class FileEntry(_Strict):
    """A file of the bundle."""

    sha256: Digest
    size_bytes: Annotated[int, Field(ge=0, le=MAX_FILE_BYTES)]


class Manifest(_Strict):
    """The contract between a model and the agent."""

    schema_version: Literal[1]
    name: ReleaseName
    version: Version
    family: Literal["encoder", "tcn"]
    languages: Annotated[tuple[Language, ...], Field(min_length=1)]
    tokens: Annotated[tuple[Token, ...], Field(min_length=3, max_length=MAX_TOKENS)]
    front_end: Annotated[Waveform | LogMel, Field(discriminator="kind")]
    window_samples: Samples
    """What the model hears at once."""
    hop_samples: Samples
    """How often it is asked."""
    look_ahead_samples: Annotated[int, Field(ge=0, le=MAX_WINDOW_SAMPLES)]
    """Sound after the centre of a frame that the model must have heard before that frame counts."""
    frame_samples: Samples
    """Between the centres of two output frames."""
    first_frame_samples: Annotated[int, Field(ge=0, le=MAX_WINDOW_SAMPLES)]
    """Centre of output frame 0, from the start of the window."""
    frames: Annotated[int, Field(gt=0, le=100_000)]
    input: Tensor
    output: Tensor
    npu: Npu | None = None
    operating_points: OperatingPoints
    calibration_curve: Annotated[tuple[Tradeoff, ...], Field(max_length=100)] = ()
    """Between hearing and refusing, in order of probability."""
    training: Training
    rights: Rights
    golden: Literal["golden/labels.json"] | None = None
    """The file that lists utterances and the command that each must give."""
    files: Annotated[dict[FileName, FileEntry], Field(min_length=1, max_length=MAX_FILES)]

    @property
    def frame_s(self) -> float:
        """Between two output frames."""
        return self.frame_samples / SAMPLE_RATE_HZ

    @property
    def usable_frames(self) -> int:
        """How many frames of a window, counted from its start, have their look-ahead filled."""
        room = self.window_samples - self.look_ahead_samples - self.first_frame_samples
        return min(self.frames, room // self.frame_samples + 1) if room >= 0 else 0

    def rknn_file(self, soc: str) -> str | None:
        """Return the file for a system on chip such as `rk3568`, if the bundle has one."""
        name = f"model.{soc}.rknn"
        return name if name in self.files else None

    def npu_tensor(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a copy of the rows as the NPU's runtime wants them: C-contiguous float32 in its layout."""
        tensor = self.input.from_rows(rows)
        if self.npu is not None and self.npu.input_layout == "nhwc":
            tensor = tensor.transpose(0, 2, 3, 1)
        return np.array(tensor, np.float32, order="C", copy=True)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        def need(true: bool, message: str) -> None:
            if not true:
                raise ValueError(message)

        rows, channels = self.front_end.rows(self.window_samples), self.front_end.channels
        frames_per_hop = self.hop_samples // self.frame_samples
        last_centre = self.first_frame_samples + (self.frames - 1) * self.frame_samples
        need(len(set(self.tokens)) == len(self.tokens), "tokens: a token occurs twice")
        need(self.tokens[:2] == ("<blank>", "<noise>"), "tokens: must begin with <blank>, <noise>")
        need(
            (self.input.rows, self.input.channels) == (rows, channels),
            f"input: front_end makes {rows} rows of {channels} of a window, so shape must say the same",
        )
        need(
            (self.output.rows, self.output.channels) == (self.frames, len(self.tokens)),
            f"output: shape must hold {self.frames} frames of {len(self.tokens)} tokens",
        )
        need(self.hop_samples % self.frame_samples == 0, "hop_samples: must be a multiple of frame_samples")
        need(
            not isinstance(self.front_end, LogMel) or self.hop_samples % MEL_HOP_SAMPLES == 0,
            f"hop_samples: must be a multiple of {MEL_HOP_SAMPLES} for log-mel",
        )
        need(last_centre <= self.window_samples, "frames: the last frame's centre is beyond the window")
        need(
            self.usable_frames >= frames_per_hop,
            "hop_samples: frames would be lost: too few of a window have their look-ahead filled",
        )
        need(ONNX_FILE in self.files, f"files: {ONNX_FILE} is missing")
        need(self.golden is None or self.golden in self.files, f"golden: {self.golden} is not among files")
        if any(re.fullmatch(r"model\.[a-z0-9]+\.rknn", name) for name in self.files):
            need(self.npu is not None, "npu: must be given, since there is a .rknn file")
            need(
                {CANARY_SAMPLES_FILE, CANARY_LOGITS_FILE} <= self.files.keys(),
                f"files: a .rknn file needs {CANARY_SAMPLES_FILE} and {CANARY_LOGITS_FILE} to be trusted",
            )
        for name, size in (
            (CANARY_SAMPLES_FILE, 2 * self.window_samples),
            (CANARY_LOGITS_FILE, 4 * self.frames * len(self.tokens)),
        ):
            need(
                name not in self.files or self.files[name].size_bytes == size,
                f"files: {name} must have {size} bytes",
            )
        if self.npu is not None:
            need(
                (self.npu.input_layout is not None) == (len(self.input.shape) == 4),
                "npu.input_layout: must be given exactly where input has four axes",
            )
        return self
