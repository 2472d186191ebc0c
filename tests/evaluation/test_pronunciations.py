"""Which words are said otherwise than the grammar has them."""

import pytest

from agent.evaluation.pronunciations import other_sounds
from agent.recognition.hypothesis import HeardWord

MOCHA, HEARD = ("M", "OW", "K", "AH"), ("M", "AA", "K", "AH")


def word(text: str, score: float, likelier: tuple[str, ...]) -> HeardWord:
    return HeardWord(text, 0.0, 0.5, score, MOCHA, likelier)


@pytest.mark.parametrize(
    ("otherwise", "as_written", "count"),
    [
        ([-5.0] * 3, [0.0] * 3, 3),
        ([-5.0] * 2, [], 0),  # may be chance
        ([-5.0] * 3, [0.0] * 4, 0),  # most say it as written
        ([-2.0] * 5, [], 0),  # hardly fits better
    ],
)
def test_most_must_say_it_so(otherwise: list[float], as_written: list[float], count: int) -> None:
    words = [word("mocha", score, HEARD) for score in otherwise]
    words += [word("mocha", score, MOCHA) for score in as_written]
    unsaid = [word("oh", -9.0, ())] * 3
    found = other_sounds([*words, word("latte", -9.0, HEARD), *unsaid])
    assert [(each.word, each.sounds, each.heard, each.share.count) for each in found] == (
        [("mocha", MOCHA, HEARD, count)] if count else []
    )
    assert all("write `pronounce: {mocha: [M OW K AH, M AA K AH]}`" in str(each) for each in found)
