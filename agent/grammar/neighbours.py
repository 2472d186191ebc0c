"""Which changes of one sound turn a word into another word: "press" into "dress", but not into "vress".

A stranger's way of speaking turns a sound into anything; who says something else says other words. Which
changes make words is found when a grammar is compiled, so that judging an utterance needs no dictionary.
Leaving a sound out is not among the changes: people swallow sounds and mean the word.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from agent.grammar.lexicon import Lexicon, Sounds, dictionary_sounds, syllables

Neighbours = Mapping[tuple[int, ...], tuple[tuple[int, int], ...]]
"""Per pronunciation, in tokens: each place in it with each token that makes another word there."""


def find_neighbours(texts: Iterable[str], lexicon: Lexicon, tokens: Sequence[str]) -> Neighbours:
    """Find the neighbours of words: English ones in the dictionary, Chinese ones among all syllables.

    Another way to say a word is no neighbour of it, nor of a word that sounds the same.

    Args:
        texts: words.
        lexicon: how they sound; `tokens` has all their sounds.
        tokens: token table of the model.
    """
    ways = _ways_to_say(texts, lexicon)
    english = set(dictionary_sounds()) if any(map(_is_english, ways)) else set()
    number = {token: index for index, token in enumerate(tokens) if token[0].isalpha()}
    found: dict[tuple[int, ...], tuple[tuple[int, int], ...]] = {}
    for said, same in ways.items():
        capitals = _is_english(said)
        others = [token for token in number if token[0].isupper() == capitals]
        found[tuple(number[sound] for sound in said)] = tuple(
            (place, number[other])
            for place, other, changed in _changes(said, others)
            if changed not in same and (" ".join(changed) in english if capitals else _is_chinese(changed))
        )
    return found


def _ways_to_say(texts: Iterable[str], lexicon: Lexicon) -> dict[Sounds, set[Sounds]]:
    """Per pronunciation, all ways to say the words that sound so: the grammar's and the dictionary's."""
    dictionary = Lexicon({})
    ways: dict[Sounds, set[Sounds]] = {}
    for text in sorted(set(texts)):
        variants = lexicon[text].variants
        for said in variants:
            ways.setdefault(said, set()).update(variants, dictionary[text].variants)
    return ways


def _changes(said: Sounds, others: Sequence[str]) -> Iterator[tuple[int, str, Sounds]]:
    for place in range(len(said)):
        before, after = said[:place], said[place + 1 :]
        for other in others:
            yield place, other, (*before, other, *after)


def _is_english(sounds: Sounds) -> bool:
    return sounds[0].isupper()  # ARPAbet is written in capitals, pinyin in small letters


def _is_chinese(sounds: Sounds) -> bool:
    """Whether sounds are Mandarin syllables, one after the other."""
    known = syllables()
    while sounds:
        length = next((length for length in (2, 1) if sounds[:length] in known), 0)
        if not length:
            return False
        sounds = sounds[length:]
    return True
