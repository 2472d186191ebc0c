"""Near misses that people speak: what they say stays, and a word of the grammar becomes one a sound away.

Those that a synthesizer speaks are said too clearly to judge strangers by. "A large latte" is a near miss
where the grammar sells "lotter" instead: in the voice, room and noise of what must be heard.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from random import Random

from agent.errors import VoxlineError
from agent.grammar import compile_grammar
from agent.grammar.graph import Graph
from agent.grammar.lexicon import Lexicon
from agent.grammar.load import parse_grammar
from models.recipe.calibrate import Negative, Positive
from models.recipe.phones import near_words

FEWEST_SOUNDS = 3
"""Of a word that is exchanged: shorter ones are swallowed in any sentence."""


def near_grammars(
    grammar: Path, positives: Iterable[Positive], draws: int, tokens: tuple[str, ...]
) -> Iterator[Negative]:
    """Yield each recording with grammars that lack a word of its command, and have another one instead.

    Args:
        grammar: what is said; its text is changed, so a word is exchanged wherever it stands.
        positives: commands of it; a file is heard with the same grammars at each ratio of speech to noise.
        draws: how many words are drawn for each recording.
        tokens: token table of the model.
    """
    text = grammar.read_text(encoding="utf-8")
    for positive in positives:
        pairs = list(_pairs(positive, text))
        for draw in range(draws):
            drawn = pairs.copy()
            Random(f"{positive.file}-{draw}").shuffle(drawn)
            graphs = (_compiled(text, *pair, tokens) for pair in drawn)
            if graph := next(filter(None, graphs), None):
                yield Negative(graph, positive.recording)


def _pairs(positive: Positive, text: str) -> Iterator[tuple[str, str]]:
    """Yield words of a command's slots that the grammar writes out, each with one that is a sound away."""
    lexicon = Lexicon({})
    said = {word for value in positive.label.slots.values() for word in str(value).split()}
    for word in sorted(said):
        ways = lexicon[word].variants
        if min(map(len, ways), default=0) < FEWEST_SOUNDS or not _whole(word).search(text):
            continue
        for other in near_words(word):
            if not _whole(other).search(text) and set(ways).isdisjoint(lexicon[other].variants):
                yield word, other


@cache  # the same words are drawn at each ratio of speech to noise
def _compiled(text: str, word: str, other: str, tokens: tuple[str, ...]) -> Graph | None:
    try:
        return compile_grammar(parse_grammar(_whole(word).sub(other, text)), tokens)
    except VoxlineError:  # it sounds like something else that the grammar has
        return None


def _whole(word: str) -> re.Pattern[str]:
    return re.compile(rf"\b{re.escape(word)}\b")
