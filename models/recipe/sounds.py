"""What sounds a text has, as indices into the token table."""

import re
from itertools import groupby

from pypinyin import Style, lazy_pinyin

from agent.grammar.lexicon import Lexicon
from models.recipe.tokens import INDEX

_LEXICON = Lexicon({"A": ("EY",)})
"""With the letter A as people say it, whatever the model before this one heard it as."""


def phones_of_mandarin(text: str) -> list[str]:
    """Return initials and finals of a text in Chinese characters; empty if it holds anything else."""
    han = re.sub(r"[^\w]|_", "", text)
    if not re.fullmatch(r"[\u4e00-\u9fff]+", han):
        return []
    # A whole sentence, not word by word as the lexicon does: its readings then follow from the context.
    initials = lazy_pinyin(han, style=Style.INITIALS, strict=True)
    finals = lazy_pinyin(han, style=Style.FINALS, strict=True)
    phones = [phone for pair in zip(initials, finals, strict=True) for phone in pair if phone]
    return phones if all(phone in INDEX for phone in phones) else []


def words_of_english(text: str) -> list[str]:
    """Return the words of an English text in lower case, without punctuation; names of letters in capitals.

    "a" and "i" are letters beside another: in "t m a z", not in "have i a map".
    """
    words = re.findall(r"[a-z']*[a-z][a-z']*", re.sub(r"[-–—]", " ", text.lower().replace("’", "'")))
    spelled: list[str] = []
    for alone, run in groupby(words, key=lambda word: len(word) == 1):
        said = list(run)
        spelled += map(str.upper, said) if alone and not {*said} <= {"a", "i"} else said
    return spelled


def pronunciations(text: str, language: str) -> list[list[list[int]]]:
    """Return, per word, its pronunciations as token indices; empty if some word has none.

    A text with digits has none either: nobody knows how they were read.
    """
    if language == "zh":
        phones = phones_of_mandarin(text)
        return [[[INDEX[phone] for phone in phones]]] if phones else []
    if re.search(r"\d", text):
        return []
    words = [_LEXICON[word].variants for word in words_of_english(text)]
    if not all(words):
        return []
    return [[[INDEX[phone] for phone in variant] for variant in variants] for variants in words]
