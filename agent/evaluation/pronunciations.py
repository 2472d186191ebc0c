"""Words that people say otherwise than the grammar has them: what to add under `pronounce`.

Each word tells by which one change of its sounds the sentence would fit best. Where that is the same change
most times that the word is said, it is how people say it here, or how the model hears them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from agent.evaluation.statistics import Share
from agent.recognition.hypothesis import HeardWord

LEAST_NATS = 3.0
"""A change that gains less may be chance."""
LEAST_COUNT, LEAST_SHARE = 3, 0.5
"""As often, and in as large a share of what was said of a word, a change must be the best."""


@dataclass(frozen=True, slots=True)
class OtherSounds:
    """A word that is mostly heard with other sounds than the grammar has."""

    word: str
    sounds: tuple[str, ...]
    """As the grammar has it."""
    heard: tuple[str, ...]
    share: Share
    """How often, of all times that the word was said."""

    def __str__(self) -> str:
        sounds, heard, share = " ".join(self.sounds), " ".join(self.heard), self.share
        return (
            f"`{self.word}` was heard as {heard} {share.count} of {share.total} times, not as {sounds}. "
            f"Is it said so? Then write `pronounce: {{{self.word}: [{sounds}, {heard}]}}`"
        )


def other_sounds(words: Sequence[HeardWord]) -> list[OtherSounds]:
    """Return which of the words, all understood right, mostly sound otherwise; the most frequent first."""
    said = Counter(word.text for word in words)
    changed = Counter(
        (word.text, word.sounds, word.likelier)
        for word in words
        if word.score <= -LEAST_NATS and word.likelier  # a word of one sound may fit best unsaid
    )
    return [
        OtherSounds(text, sounds, likelier, Share.of(count, said[text]))
        for (text, sounds, likelier), count in changed.most_common()
        if count >= LEAST_COUNT and count >= LEAST_SHARE * said[text]
    ]
