"""Sentences of the shipped grammars, with what they mean, and near misses of them, which mean nothing."""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

from agent.grammar.compiler import accepted_sentences
from agent.grammar.graph import Word
from agent.grammar.inspect import NoParse, explain, sample
from agent.grammar.lexicon import Lexicon
from agent.grammar.load import load_grammar
from models.recipe.texts import Text, near_miss


def grammar_texts(files: list[Path], seed: int, near_share: float) -> Iterator[Text]:
    """Yield sentences of grammars in turn, `near_share` (0 to 1) of the English as near misses.

    The kind is `grammar/NAME` or `near/NAME`. A sentence is labelled with its command and slots as JSON; a
    near miss has no label, and is left out where it happens to be a sentence of its grammar.
    """
    rng = Random(f"grammars-{seed}")
    grammars = [load_grammar(file) for file in files]
    opened = [(grammar, accepted_sentences(grammar), Lexicon(grammar.pronounce)) for grammar in grammars]
    streams = [sample(sentences, seed) for _, sentences, _ in opened]
    while True:
        for (grammar, sentences, lexicon), stream in zip(opened, streams, strict=True):
            words, meaning = next(stream)
            if grammar.language == "zh":
                text = "".join(word.text for word in words)
            else:
                text = " ".join(map(_written, words))
                if rng.random() < near_share:
                    near = near_miss(text, rng)
                    if near and isinstance(explain(sentences, lexicon, near), NoParse):
                        yield Text("en", f"near/{grammar.name}", near)
                    continue
            label = json.dumps({"command": meaning.command, "slots": dict(meaning.slots)}, ensure_ascii=False)
            yield Text(grammar.language, f"grammar/{grammar.name}", text, label)


def _written(word: Word) -> str:
    """Write a letter's name in upper case; "a" is the article unless it fills a slot."""
    letter = len(word.text) == 1 and word.text.isalpha() and (word.text != "a" or word.opens or word.closes)
    return word.text.upper() if letter else word.text
