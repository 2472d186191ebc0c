"""What a dev recording may sound like; for dev/coffee every wording that its labels leave open."""

import itertools
import json
from collections.abc import Iterator

from models.recipe.corpus import Clip
from models.recipe.sounds import pronunciations
from models.recipe.tokens import first_variant

OPENINGS = (
    "brew",
    "can i get",
    "can i have",
    "i want",
    "get me",
    "give me",
    "i'd like",
    "make me",
    "may i have",
)


def wordings(label: str) -> Iterator[str]:
    """Yield the sentences that the grammar allows for a label (JSON with `slots`)."""
    slots: dict[str, str] = json.loads(label)["slots"]
    before = [slots[name] for name in ("size", "roast", "numberOfShots") if name in slots]
    after = [slots[name] for name in ("milkAmount", "sugarAmount") if name in slots]
    for opening, article in itertools.product(OPENINGS, ("", "a", "an")):
        for order in itertools.permutations(before):
            for ending in itertools.permutations(after):
                parts = [opening, article, *order, slots["coffeeDrink"]]
                if ending:
                    parts += ["with", " and ".join(ending)]
                yield " ".join(part for part in parts if part)


def references(clip: Clip) -> list[list[int]]:
    """Return the token sequences that a dev clip may hold; none where its sounds are unknown."""
    if clip.source == "dev/coffee":
        return [
            first_variant(words)
            for words in (pronunciations(each, "en") for each in wordings(clip.text))
            if words
        ]
    return [first_variant(clip.words)] if clip.words else []
