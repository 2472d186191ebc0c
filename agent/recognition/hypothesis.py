"""What was heard, as values that travel from the recognizer to the policy, the log and MQTT."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from agent.grammar.schema import Scalar


class Reject(StrEnum):
    """Why an utterance is no command."""

    BACKGROUND = "background"
    """Speech that fits the background model better than any sentence of the grammar."""
    WEAK_WORD = "weak_word"
    """The sentence fits but for one word."""
    AMBIGUOUS = "ambiguous"
    """Another command fits nearly as well."""
    TOO_SHORT = "too_short"
    TOO_QUIET = "too_quiet"
    CLIPPED = "clipped"
    IN_TALK = "in_talk"
    """The sentence fits, but it was said in the middle of talk: a command follows a pause."""
    INCOMPLETE = "incomplete"
    """A sentence began and was not finished in time."""


@dataclass(frozen=True, slots=True)
class HeardWord:
    """One word of the best sentence."""

    text: str
    start_s: float
    """Monotonic time, like every time in this module."""
    end_s: float
    score: float
    """Nats, <= 0: minus what the sentence gains with another sound in the place of the word's worst one."""
    sounds: tuple[str, ...]
    """As the grammar has it."""
    likelier: tuple[str, ...]
    """The same with that other sound, or without the worst one; unchanged where none fits better."""
    carrier: bool = False
    """Whatever is meant may begin with it, so that it decides nothing."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """The best sentence that means something else."""

    command: str
    slots: Mapping[str, Scalar]


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """The best reading of one utterance, or the fact that none fits."""

    start_s: float
    end_s: float
    """End of the last sound."""
    snr_db: float | None
    command: str | None = None
    """None when no sentence of the grammar took part."""
    slots: Mapping[str, Scalar] = field(default_factory=dict)
    words: tuple[HeardWord, ...] = ()
    evidence: Mapping[str, float] = field(default_factory=dict)
    """What `probability` was computed from; see `agent.recognition.recognizer`."""
    probability: float = 0.0
    """Calibrated probability, 0 to 1, that command and all slots are what was said."""
    margin: float | None = None
    """Nats by which the best sentence beats `runner_up`; None when nothing else came close."""
    runner_up: Alternative | None = None
    reject: Reject | None = None
    """Set when the recognizer itself refuses, whatever the probability."""

    @property
    def text(self) -> str:
        """The words, joined by spaces."""
        return " ".join(word.text for word in self.words)

    @property
    def worst_word(self) -> HeardWord | None:
        """The word that fits the sound least, of those on which something hangs: it decides."""
        deciding = (word for word in self.words if not word.carrier)
        return min(deciding, key=lambda word: word.score, default=None)
