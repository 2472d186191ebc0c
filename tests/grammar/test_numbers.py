from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import GrammarError
from agent.grammar.numbers import numeral
from agent.grammar.schema import NumberRange, Reading, Spelled
from agent.grammar.slots import values

ENGLISH = [
    ("zero", 0),
    ("twelve", 12),
    ("twenty one", 21),
    ("one hundred", 100),
    ("a hundred", 100),
    ("a hundred and five", 105),
    ("one hundred five", 105),
    ("fifteen hundred", 1500),
    ("fifteen hundred and fifty", 1550),
    ("one thousand five hundred and fifty", 1550),
    ("two thousand and five", 2005),
    ("twenty thousand", 20_000),
    ("three hundred twelve thousand four hundred five", 312_405),
    ("one million", 1_000_000),
]
MANDARIN = [
    ("零", 0),
    ("负十五", -15),
    ("零下五", -5),
    ("两", 2),
    ("十五", 15),
    ("二十", 20),
    ("一百", 100),
    ("一百零五", 105),
    ("一百一十五", 115),
    ("两百五十", 250),
    ("二百五十", 250),
    ("一千零五", 1005),
    ("一千零五十", 1050),
    ("两千三百", 2300),
    ("一万零五百", 10_500),
    ("一万一千", 11_000),
    ("十五万", 150_000),
    ("一百万", 1_000_000),
    ("一亿五千万", 150_000_000),
    ("两亿零三万零五", 200_030_005),
]


@pytest.mark.parametrize(("spoken", "value"), ENGLISH)
def test_english_cardinals(spoken: str, value: int) -> None:
    exact = NumberRange(minimum=Decimal(value), maximum=Decimal(value))
    assert spoken in set(values(exact, "en"))
    assert numeral(spoken.split()) == str(value)


@pytest.mark.parametrize(("spoken", "value"), MANDARIN)
def test_mandarin_cardinals(spoken: str, value: int) -> None:
    exact = NumberRange(minimum=Decimal(value), maximum=Decimal(value))
    assert " ".join(spoken) in set(values(exact, "zh"))
    assert numeral(list(spoken)) == str(value)


@pytest.mark.parametrize(
    ("spoken", "value"),
    [("twenty one hundred hundred", 21), ("one hundred and", 100), ("ten five", 15), ("twenty eleven", 31)],
)
def test_what_nobody_says_is_not_in_the_grammar(spoken: str, value: int) -> None:
    exact = NumberRange(minimum=Decimal(value), maximum=Decimal(value))
    assert spoken not in set(values(exact, "en"))


def test_mandarin_has_no_financial_forms() -> None:
    wide = NumberRange(minimum=Decimal(0), maximum=Decimal(1200), read=(Reading.CARDINAL, Reading.DIGITS))
    used = {character for phrase in values(wide, "zh") for character in phrase if character != " "}
    assert used == set("零一二三四五六七八九十百千两幺")


def test_decimals_units_and_signs() -> None:
    temperature = NumberRange(
        minimum=Decimal(-5), maximum=Decimal(20), step=Decimal("0.5"), unit="[(degree|degrees)]"
    )
    meaning = values(temperature, "en")
    assert meaning["twelve point five degrees"] == 12.5
    assert meaning["minus three point five"] == -3.5
    assert meaning["negative point five degrees"] == -0.5
    assert meaning["point five"] == 0.5
    assert isinstance(meaning["twelve"], float)
    for spoken in ("twelve point two", "twenty point five", "minus six", "twelve volts", ""):
        assert spoken not in meaning


def test_a_unit_that_must_be_said_is_missed() -> None:
    speed = NumberRange(minimum=Decimal(0), maximum=Decimal(100), unit="(percent|per cent)")
    meaning = values(speed, "en")
    assert (meaning["five percent"], meaning["five per cent"]) == (5, 5)
    assert "five" not in meaning
    assert "five per" not in meaning


@pytest.mark.parametrize(
    ("unit", "language", "words"),
    [
        ("[hundred]", "en", "hundred"),
        ("[point five] bar", "en", "point five"),
        ("[千]克", "zh", "千"),
        ("[千克]", "zh", None),
        ("[点]", "zh", None),
        ("[(a|per)] minute", "en", None),
        ("hundred", "en", None),
    ],
)
def test_a_word_belongs_to_the_number_or_to_the_unit(unit: str, language: str, words: str | None) -> None:
    weight = NumberRange(minimum=Decimal(0), maximum=Decimal(9000), unit=unit)
    if words is None:
        assert values(weight, language)
    else:
        with pytest.raises(GrammarError, match=f"`{words}` may be a part of the number, or of the unit"):
            values(weight, language)


def test_a_unit_said_in_too_many_ways_is_refused() -> None:
    unit = f"{'[very] [quite] ' * 20}fast"
    with pytest.raises(GrammarError, match="more than 200000 spoken forms"):
        values(NumberRange(minimum=Decimal(0), maximum=Decimal(9), unit=unit), "en")


def test_digit_by_digit() -> None:
    speed = NumberRange(minimum=Decimal(0), maximum=Decimal(3000), step=Decimal(10), read=(Reading.DIGITS,))
    meaning = values(speed, "en")
    assert meaning["one two five zero"] == 1250
    assert meaning["three oh oh zero"] == 3000
    assert "one two five" not in meaning
    assert len(set(meaning.values())) == 301


def test_spelled_keeps_leading_zeros_and_letters() -> None:
    assert values(Spelled(spell="digits", max_length=4), "en")["oh zero seven"] == "007"
    assert values(Spelled(spell="letters", max_length=4), "en")["J O E"] == "JOE"
    assert values(Spelled(spell="icao", max_length=8), "en")["delta four x-ray"] == "D4X"
    assert values(Spelled(spell="digits", max_length=8), "zh")["幺 二 五 零"] == "1250"


@pytest.mark.parametrize("spoken", ["five", "one two three four five six seven"])
def test_what_is_too_short_or_too_long_to_be_spelled_is_left_to_other_lists(spoken: str) -> None:
    assert spoken not in values(Spelled(spell="digits", min_length=6, max_length=6), "en")


ranges = st.builds(
    lambda low, count, step, places, read: NumberRange(
        minimum=Decimal(low).scaleb(-places),
        maximum=Decimal(low + count * step).scaleb(-places),
        step=Decimal(step).scaleb(-places),
        read=read,
    ),
    st.integers(-2500, 12_000),
    st.integers(0, 40),
    st.integers(1, 700),
    st.integers(0, 2),
    st.sampled_from([(Reading.CARDINAL,), (Reading.DIGITS,), (Reading.CARDINAL, Reading.DIGITS)]),
)


@settings(max_examples=150, deadline=None)
@given(ranges, st.sampled_from(["en", "zh"]))
def test_a_range_says_exactly_its_values(numbers: NumberRange, language: str) -> None:
    meaning = values(numbers, language)
    expected, value = set(), numbers.minimum
    while value <= numbers.maximum:
        expected.add(float(value) if numbers.decimals else int(value))
        value += numbers.step
    phrases = list(meaning)
    assert {meaning[phrase] for phrase in phrases} == expected
    assert len(phrases) == len(set(phrases)) == len(meaning)


def test_a_huge_range_is_not_listed() -> None:
    position = NumberRange(minimum=Decimal(-1000), maximum=Decimal(1000), step=Decimal("0.001"))
    meaning = values(position, "en")
    assert len(meaning) > 2_000_001
    assert meaning["minus nine hundred and ninety nine point nine nine nine"] == -999.999


@pytest.mark.parametrize("words", [["hello"], [], ["minus"], ["point"], ["twelve", "potato"], ["十", "x"]])
def test_no_number(words: list[str]) -> None:
    with pytest.raises(ValueError, match=r"number|digit"):
        numeral(words)
