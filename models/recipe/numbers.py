"""Numbers, codes, dates and times as people say them, in English and Mandarin words.

Every function draws from the given generator and returns plain words, never digits, so that what a
synthesizer reads and what a label says cannot differ.
"""

import string
from random import Random

import cn2an

ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
TENS = ["_", "_", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
MONTHS = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
]  # fmt: skip
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
ORDINALS = [
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
    "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth",
    "eighteenth", "nineteenth", "twentieth",
]  # fmt: skip
NATO = [
    "alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet", "kilo",
    "lima", "mike", "november", "oscar", "papa", "quebec", "romeo", "sierra", "tango", "uniform",
    "victor", "whiskey", "x-ray", "yankee", "zulu",
]  # fmt: skip


def cardinal(number: int) -> str:
    """Spell `number` (0 to 999,999) in English words, without "and"."""
    if number < 20:
        return ONES[number]
    if number < 100:
        return TENS[number // 10] + (f" {ONES[number % 10]}" if number % 10 else "")
    if number < 1000:
        return f"{ONES[number // 100]} hundred" + (f" {cardinal(number % 100)}" if number % 100 else "")
    rest = number % 1000
    return f"{cardinal(number // 1000)} thousand" + (f" {cardinal(rest)}" if rest else "")


def magnitude(rng: Random) -> int:
    """Draw a number from 0 to 9,999, small and round ones more often."""
    kind = rng.random()
    if kind < 0.3:
        return rng.randint(0, 20)
    if kind < 0.6:
        return rng.randint(20, 99)
    if kind < 0.7:
        return rng.randint(1, 30) * 10
    if kind < 0.8:
        return rng.randint(1, 60) * 50
    if kind < 0.9:
        return rng.randint(1, 99) * 100
    return rng.randint(100, 9999)


def number(rng: Random) -> str:
    """Draw a number in words; hundreds now and then as "twenty five hundred" or "two fifty"."""
    value = magnitude(rng)
    if 1100 <= value < 9999 and value % 100 == 0 and value % 1000 and rng.random() < 0.3:
        return f"{cardinal(value // 100)} hundred"
    if 100 < value < 1000 and value % 100 >= 10 and rng.random() < 0.25:
        return f"{ONES[value // 100]} {cardinal(value % 100)}"
    if 100 < value < 1000 and value % 100 and rng.random() < 0.2:
        return f"{ONES[value // 100]} hundred and {cardinal(value % 100)}"
    if value >= 10 and rng.random() < 0.12:
        return " ".join(ONES[int(digit)] for digit in str(value))
    return cardinal(value)


def small(rng: Random) -> str:
    """Draw a number from one to twelve in words."""
    return cardinal(rng.randint(1, 12))


def decimal(rng: Random) -> str:
    """Draw a decimal such as "two point five" or "point oh five"."""
    whole = rng.choice(["", "zero", cardinal(rng.randint(1, 99)), cardinal(rng.randint(1, 20))])
    places = " ".join(digit(rng) for _ in range(rng.choice([1, 1, 1, 2, 2, 3])))
    return f"{whole} point {places}".strip()


def digit(rng: Random) -> str:
    """Draw one digit; zero is "oh" a third of the time."""
    value = rng.randint(0, 9)
    return "oh" if value == 0 and rng.random() < 0.35 else ONES[value]


def digits(rng: Random) -> str:
    """Draw a string of one to seven digits read one by one."""
    return " ".join(digit(rng) for _ in range(rng.choice([1, 2, 3, 3, 4, 4, 5, 6, 7])))


def letter(rng: Random) -> str:
    """Draw one upper-case letter."""
    return rng.choice(string.ascii_uppercase)


def letters(rng: Random) -> str:
    """Draw one to six letters, read one by one."""
    return " ".join(letter(rng) for _ in range(rng.choice([1, 2, 2, 3, 3, 4, 5, 6])))


def nato(rng: Random) -> str:
    """Draw one to four words of the radio alphabet, sometimes with a digit or two after them."""
    words = [rng.choice(NATO) for _ in range(rng.choice([1, 1, 2, 2, 3, 4]))]
    words += [digit(rng) for _ in range(rng.choice([0, 0, 1, 2]))]
    return " ".join(words)


def code(rng: Random) -> str:
    """Draw a code of letters, radio words, digits and numbers."""
    return " ".join(
        rng.choice((letter, letter, digit, digit, small, number))(rng) for _ in range(rng.randint(2, 5))
    )


def date(rng: Random) -> str:
    """Draw a date or a part of one."""
    month, day = rng.choice(MONTHS), rng.randint(1, 31)
    ordinal = ORDINALS[day - 1] if day <= 20 else f"{TENS[day // 10]} {ORDINALS[day % 10 - 1]}"
    ordinal = "thirtieth" if day == 30 else ordinal
    year = f"{rng.choice(['nineteen', 'eighteen', 'twenty'])} {cardinal(rng.randint(10, 99))}"
    return rng.choice(
        [
            f"{month} {ordinal}",
            f"{month} {ordinal} {year}",
            f"{month} {cardinal(day)} {year}",
            f"the {ordinal} of {month}",
            rng.choice(DAYS),
            f"{rng.choice(DAYS)} {month} {ordinal}",
            month,
            f"{month} {year}",
        ]
    )


def clock(rng: Random) -> str:
    """Draw a time of day."""
    hour, minute = small(rng), rng.randint(10, 59)
    return rng.choice(
        [
            f"{hour} o'clock",
            f"{hour} {cardinal(minute)}",
            f"half past {hour}",
            f"quarter to {hour}",
            f"quarter past {hour}",
            f"{hour} {rng.choice(['A', 'P'])} M",
            f"{hour} {cardinal(minute)} {rng.choice(['A', 'P'])} M",
            f"{hour} in the {rng.choice(['morning', 'evening', 'afternoon'])}",
        ]
    )


def zh_number(rng: Random) -> str:
    """Draw a number in Mandarin numerals; two hundred and more may begin with 两."""
    words: str = cn2an.an2cn(magnitude(rng), "low")
    if rng.random() < 0.6:
        words = words.replace("二百", "两百").replace("二千", "两千").replace("二万", "两万")
    return words.removeprefix("一") if words.startswith("一十") else words


def zh_small(rng: Random) -> str:
    """Draw one to twelve in Mandarin numerals."""
    words: str = cn2an.an2cn(rng.randint(1, 12), "low")
    return words.removeprefix("一") if words.startswith("一十") else words


def zh_decimal(rng: Random) -> str:
    """Draw a decimal such as 二点五 in Mandarin."""
    places = "".join(rng.choice("零一二三四五六七八九") for _ in range(rng.choice([1, 1, 2])))
    sign, whole = rng.choice(["负", "", "", ""]), rng.choice([0, 0, 1, 2, 3, 5, 8, 12, 25, 60])
    return f"{sign}{cn2an.an2cn(whole, 'low')}点{places}"


def zh_digits(rng: Random) -> str:
    """Draw one to eight Mandarin digits read one by one, one as 幺 now and then."""
    one = rng.choice("一一幺")
    return "".join(rng.choice("零一二三四五六七八九").replace("一", one) for _ in range(rng.randint(1, 8)))
