"""What a station knows about itself at one moment, as values: the parts of the health report.

Names follow Prometheus: base units, `_total` for what only grows. `None` means the machine does not show it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from agent.commands.decision import Hindrances


@dataclass(frozen=True, slots=True)
class EngineHealth:
    """The inference engine that is at work, and how fast."""

    name: str
    """`onnx` or `rknn`."""
    reason: str
    """Why this one: asked for, or why the other was not taken."""
    fallback: bool
    """The NPU should be at work and is not."""
    failing: bool = False
    """It gave no result lately; what was said meanwhile may be lost."""
    failures_total: int = 0
    inferences_total: int = 0
    inference_p50_seconds: float | None = None
    inference_p95_seconds: float | None = None
    inference_max_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class AudioHealth:
    """What the microphone delivers."""

    source: str
    """The device or file that is open, as it names itself; empty while there is none."""
    frames_total: int = 0
    silent_for_seconds: float = 0.0
    """Since the last frame arrived."""
    stuck: bool = False
    """Frames arrive but hold digital silence, a constant, or the same sound again and again."""
    overruns_total: int = 0
    level_dbfs: float | None = None
    peak_dbfs: float | None = None
    noise_floor_dbfs: float | None = None
    snr_db: float | None = None


@dataclass(frozen=True, slots=True)
class RecognizerHealth:
    """What was heard, and whether the recognizer keeps up."""

    real_time_factor: float | None = None
    """Computing time per second of sound; above 1 it falls behind."""
    beam_nats: float | None = None
    """Partial sentences this far behind the best are dropped."""
    beam_sentences: int = 0
    """Partial sentences alive now."""
    accepts_total: int = 0
    rejects_total: Mapping[str, int] = field(default_factory=dict)
    """By reason code."""


class Outcome(StrEnum):
    """How a self-test ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not_run"
    """Nothing could be put in: no sound arrives, or the bundle holds nothing to say."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a self-test showed."""

    outcome: Outcome
    utterance: str = ""
    """File of the golden set that was heard last."""
    reason: str = ""
    """Why it did not pass; for people."""


@dataclass(frozen=True, slots=True)
class SelfTestHealth:
    """Whether a known utterance, put in behind the microphone, comes out as its command."""

    outcome: Outcome | None = None
    """Of the last one; None: there was none yet."""
    reason: str = ""
    """Why it did not pass."""
    age_seconds: float | None = None
    """Since it ended."""
    runs_total: Mapping[Outcome, int] = field(default_factory=dict)
    """By outcome."""


@dataclass(frozen=True, slots=True)
class PanelHealth:
    """Button, lamp and loudspeaker: why each does not work, empty if it does or there is none."""

    button: str = ""
    lamp: str = ""
    sound: str = ""


@dataclass(frozen=True, slots=True)
class UpdatesHealth:
    """Updates, as far as their own topic cannot tell."""

    fault: str = ""
    """Why nothing can be updated though it should; empty if it can, or the settings name no source."""


@dataclass(frozen=True, slots=True)
class LinkHealth:
    """The connection to the broker."""

    connected: bool
    since_seconds: float
    """How long it has been so."""
    reason: str
    """Why it went down last; empty if never."""
    name_taken: bool = False
    """Another station of the same names spoke lately: both push each other off the broker."""
    connects_total: int = 0
    published_total: int = 0
    dropped_total: Mapping[str, int] = field(default_factory=dict)
    """Messages that never left, by reason."""
    outbox_messages: int = 0
    """Kept on disk until the broker has them."""
    outbox_fault: str = ""
    """Why events are not kept on disk; empty if they are."""
    refused_total: Mapping[str, int] = field(default_factory=dict)
    """Inbound messages that were not obeyed, by reason."""
    handler_failures_total: int = 0


@dataclass(frozen=True, slots=True)
class SystemHealth:
    """The machine."""

    cpu_ratio: float
    """Of all cores, 0 to 1."""
    process_resident_bytes: int
    memory_available_bytes: int
    disk_free_bytes: int
    """Where the agent keeps its state."""
    npu_load_ratio: float | None = None
    npu_frequency_hertz: float | None = None
    temperature_celsius: Mapping[str, float] = field(default_factory=dict)
    """By thermal zone."""
    clock_synchronized: bool | None = None
    clock_steps_total: int = 0
    """How often the clock jumped by more than 1 s: times before and after do not compare."""


@dataclass(frozen=True, slots=True)
class Versions:
    """What runs."""

    agent: str
    bundle: str
    """name@version"""
    grammar: str
    """name@content hash"""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at once."""

    uptime_seconds: float
    versions: Versions
    engine: EngineHealth
    audio: AudioHealth
    recognizer: RecognizerHealth
    commands: Hindrances
    self_test: SelfTestHealth
    panel: PanelHealth
    updates: UpdatesHealth
    link: LinkHealth
    system: SystemHealth
