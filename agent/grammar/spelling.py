"""A guess at how an English word that no dictionary has is said.

Letter-to-sound rules, the longest first. Of the words of a dictionary they get a quarter right and 23 %
of the sounds wrong, so whoever uses a guess reports it.
"""

import re

LETTERS = {
    "A": "EY", "B": "B IY", "C": "S IY", "D": "D IY", "E": "IY", "F": "EH F", "G": "JH IY", "H": "EY CH",
    "I": "AY", "J": "JH EY", "K": "K EY", "L": "EH L", "M": "EH M", "N": "EH N", "O": "OW", "P": "P IY",
    "Q": "K Y UW", "R": "AA R", "S": "EH S", "T": "T IY", "U": "Y UW", "V": "V IY",
    "W": "D AH B AH L Y UW", "X": "EH K S", "Y": "W AY", "Z": "Z IY",
}  # fmt: skip
"""The names of the letters."""

OTHER_NAMES = {"A": ["AH"], "Z": ["Z EH D"]}
"""What some letters are heard as, too. Where people spell, the shipped model hears an A as the article: its
labels had one sound for both (models/EXPERIMENTS.md)."""

ICAO = {
    "alpha": "A", "bravo": "B", "charlie": "C", "delta": "D", "echo": "E", "foxtrot": "F", "golf": "G",
    "hotel": "H", "india": "I", "juliet": "J", "kilo": "K", "lima": "L", "mike": "M", "november": "N",
    "oscar": "O", "papa": "P", "quebec": "Q", "romeo": "R", "sierra": "S", "tango": "T", "uniform": "U",
    "victor": "V", "whiskey": "W", "x-ray": "X", "yankee": "Y", "zulu": "Z",
}  # fmt: skip
"""The words of the international radio alphabet, in the spelling that dictionaries have."""

# Spelling (a regular expression with its context in lookarounds) and sounds.
_RULES = [
    ("^kn", "N"), ("^wr", "R"), ("^ps", "S"), ("^x", "Z"), ("tch", "CH"), ("dge", "JH"),
    ("sch(?=[aou])", "S K"), ("tion", "SH AH N"), ("ssion", "SH AH N"), ("sion", "ZH AH N"),
    ("cious|tious", "SH AH S"), ("ture", "CH ER"), ("ough", "AO"), ("augh", "AO"), ("eigh", "EY"),
    ("igh", "AY"), ("ck", "K"), ("ch", "CH"), ("sh", "SH"), ("ph", "F"), ("th", "TH"), ("wh", "W"),
    ("ng(?=[aeiouy])", "NG G"), ("ng", "NG"), ("nk", "NG K"), ("gh", "G"), ("qu", "K W"), ("x", "K S"),
    ("sc(?=[eiy])", "S"), ("ee|ea", "IY"), ("oo", "UW"), ("oa", "OW"), ("oi|oy", "OY"), ("ou", "AW"),
    ("ow$", "OW"), ("ow", "AW"), ("au|aw", "AO"), ("ai|ay", "EY"), ("ei|ey$", "IY"), ("ew|eu", "UW"),
    ("ie$", "IY"), ("ie", "IY"), ("ui", "UW"), ("ar", "AA R"), ("or|ore$", "AO R"), ("er|ir|ur", "ER"),
    ("a(?=[bcdfgklmnpstvz]e$)", "EY"), ("i(?=[bcdfgklmnpstvz]e$)", "AY"),
    ("o(?=[bcdfgklmnpstvz]e$)", "OW"), ("u(?=[bcdfgklmnpstvz]e$)", "UW"),
    ("e(?=[bcdfgklmnpstvz]e$)", "IY"), ("(?<=.[^aeiou])le$", "AH L"), ("(?<=[td])ed$", "AH D"),
    ("(?<=[pkfsxh])ed$", "T"), ("(?<=.)ed$", "D"), ("(?<=[aeiouy].)e$", ""), ("(?<=..)e$", ""),
    ("(?<=[^aeiou])y$", "IY"), ("^y", "Y"), ("y", "IH"), ("c(?=[eiy])", "S"), ("g(?=[eiy])", "JH"),
    ("a$", "AH"), ("o$", "OW"), ("i$", "IY"), ("u$", "UW"), ("a", "AE"), ("e", "EH"), ("i", "IH"),
    ("o", "AA"), ("u", "AH"), ("b+", "B"), ("c+", "K"), ("d+", "D"), ("f+", "F"), ("g+", "G"),
    ("h", "HH"), ("j", "JH"), ("k+", "K"), ("l+", "L"), ("m+", "M"), ("n+", "N"), ("p+", "P"),
    ("q", "K"), ("r+", "R"), ("s+", "S"), ("t+", "T"), ("v+", "V"), ("w", "W"), ("z+", "Z"),
]  # fmt: skip
_COMPILED = [(re.compile(pattern), sounds.split()) for pattern, sounds in _RULES]


def letters(word: str) -> list[str]:
    """The sounds of `word` said letter by letter; characters that are no letter are skipped."""
    return [sound for letter in word.upper() if letter in LETTERS for sound in LETTERS[letter].split()]


def guess(word: str) -> list[str]:
    """The sounds of a lower-case `word` by rule; empty if it holds a character that no rule reads."""
    word = word.replace("'", "")
    sounds: list[str] = []
    position = 0
    while position < len(word):
        for pattern, phones in _COMPILED:
            if match := pattern.match(word, position):
                sounds += phones
                position = match.end()
                break
        else:
            return []
    return sounds
