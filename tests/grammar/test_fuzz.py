"""Whatever a file holds, it is refused with a GrammarError or it compiles, and neither takes long."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.errors import GrammarError
from agent.grammar import compile_grammar
from agent.grammar.lexicon import inventory
from agent.grammar.lint import check
from agent.grammar.load import parse_grammar

ROOT = Path(__file__).parents[2]
TOKENS = ("<blank>", "<noise>", *sorted(inventory()))
LIMIT_S = 90.0
"""Of processor time, and far above what it takes (5 s at most where it was measured, more than 20 s on a slow
processor): a hang is what must fail."""

DEMO = (ROOT / "grammars/demo.yaml").read_text()
HEAD = "name: a\nconfirm: []\ncancel: []\n"


def survive(text: str) -> None:
    began = time.process_time()
    with suppress(GrammarError):
        grammar = parse_grammar(text)
        check(grammar)
        compile_grammar(grammar, TOKENS)
    assert time.process_time() - began < LIMIT_S


fuzzed = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@fuzzed
@given(st.text())
def test_any_text(text: str) -> None:
    survive(text)


@fuzzed
@given(st.text(alphabet="name: []{}()<>|;,.-&*!?#'\"\n\\0123456789", max_size=200))
def test_text_of_syntax(text: str) -> None:
    survive(text)
    survive(HEAD + text)


@fuzzed
@given(st.text(alphabet="ab {}()[]<>|;:@\\.0,1-'语音", max_size=60))
def test_any_template(template: str) -> None:
    quoted = template.replace("'", "''")
    survive(
        f"{HEAD}lists: {{a: [b]}}\nrules: {{a: b}}\ncommands: {{a: {{topic: a, sentences: ['{quoted}']}}}}"
    )


@fuzzed
@given(st.data())
def test_a_good_grammar_with_damage(data: st.DataObject) -> None:
    lines = DEMO.splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        change = data.draw(st.sampled_from(["drop", "twice", "cut", "insert", "swap"]))
        if change == "drop":
            lines[at] = ""
        elif change == "twice":
            lines[at] += "\n" + lines[at]
        elif change == "cut":
            lines[at] = lines[at][: data.draw(st.integers(0, len(lines[at])))]
        elif change == "insert":
            column = data.draw(st.integers(0, len(lines[at])))
            lines[at] = lines[at][:column] + data.draw(st.text(max_size=4)) + lines[at][column:]
        else:
            other = data.draw(st.integers(0, len(lines) - 1))
            lines[at], lines[other] = lines[other], lines[at]
    survive("\n".join(lines))


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@fuzzed
@given(st.sampled_from(["lists", "rules", "pronounce", "wake", "language", "commands", "confirm"]), plain)
def test_any_value_anywhere(key: str, value: object) -> None:
    import yaml

    grammar = {"name": "a", "commands": {"a": {"topic": "a", "sentences": ["start {b} <c>"]}}, key: value}
    survive(yaml.safe_dump(grammar))
    grammar = {
        "name": "a",
        "commands": {"a": {"topic": "a", "sentences": ["start it"], key: value, "payload": value}},
    }
    survive(yaml.safe_dump(grammar))


@settings(fuzzed, max_examples=60)  # a range that is accepted takes seconds to spell out
@given(
    st.decimals(-(10**10), 10**10, places=3) | st.integers(-(10**12), 10**12),
    st.decimals(-(10**10), 10**10, places=3) | st.integers(-(10**12), 10**12),
    st.decimals(0, 10**6, places=7) | st.integers(-1, 10**12),
    st.sampled_from(["en", "zh"]),
    st.sampled_from(["[cardinal]", "[digits]", "[cardinal, digits]", "[]"]),
)
def test_any_range(low: object, high: object, step: object, language: str, read: str) -> None:
    survive(
        f"{HEAD}language: {language}\n"
        f"lists: {{n: {{minimum: {low}, maximum: {high}, step: {step}, read: {read}}}}}\n"
        "commands: {a: {topic: a, sentences: ['go {n}']}}"
    )


def _bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, levels)]
    return "\n".join(lines)


def _command(*sentences: str, extra: str = "") -> str:
    listed = "\n".join(f"  - '{sentence}'" for sentence in sentences)
    return f"{HEAD}{extra}\ncommands:\n a:\n  topic: a\n  sentences:\n{listed}"


HOSTILE: dict[str, Callable[[], str]] = {
    "aliases": lambda: _bomb(60),
    "depth": lambda: "a: " + "[" * 100_000,
    "depth of mappings": lambda: "\n".join(" " * i + "a:" for i in range(2_000)),
    "size": lambda: "a" * 9_000_000,
    "many keys": lambda: "\n".join(f"k{i}: 1" for i in range(50_000)),
    "brackets": lambda: _command("(" * 900 + "a" + ")" * 900),
    "open brackets": lambda: _command("(" * 1_900),
    "nested rules": lambda: _command(
        "<r300> go", extra="rules:\n r0: go\n" + "\n".join(f" r{i}: ((<r{i - 1}>))" for i in range(1, 301))
    ),
    "doubling rules": lambda: _command(
        "<r60> go",
        extra="rules:\n r0: '[go]'\n" + "\n".join(f" r{i}: <r{i - 1}> <r{i - 1}>" for i in range(1, 61)),
    ),
    "optional words": lambda: _command("go " + " ".join(f"[{w}]" for w in ["red", "green", "blue"] * 60)),
    "permutations": lambda: _command("go (" + ";".join("abcdefgh") + ") (" + ";".join("ijklmnop") + ")"),
    "permutations of alternatives": lambda: _command(
        "go (" + ";".join(f"[{c}] (x|y|z)" for c in "abcdefgh") + ")"
    ),
    "glued parts": lambda: _command("".join(f"({a}{a}|{a}b|)" for a in "acdefghijklmn") + " go"),
    # The third word from the end decides: a deterministic automaton must remember all words before it.
    "subsets": lambda: _command(
        *("[(a|b)] " * 20 + "a" + " (a|b)" * n for n in range(12)),
        *("[(a|b)] " * 20 + "b" + " (a|b)" * n for n in range(12)),
    ),
    "one huge range": lambda: _command(
        "go {n}", extra="lists: {n: {minimum: -999999999, maximum: 999999999}}"
    ),
    "a fine range": lambda: _command(
        "go {n}", extra="lists: {n: {minimum: 0, maximum: 999999, step: 0.000007}}"
    ),
    "digits of a huge range": lambda: _command(
        "go {n}", extra="lists: {n: {minimum: 0, maximum: 2999999, read: [digits, cardinal]}}"
    ),
    "an inline range": lambda: _command("go {0..99999999999999999999:n}"),
    "an inline range backwards": lambda: _command("go {9..1,0:n}"),
    "many values": lambda: _command(
        "go {n}", extra="lists: {n: [" + ", ".join(f"red {i}" for i in range(5_000)) + "]}"
    ),
    "values that multiply": lambda: _command(
        "go {n}", extra="lists: {n: [{in: '" + " ".join(["(a|b|c|d)"] * 20) + "', out: 1}]}"
    ),
    "a long spelling": lambda: _command(
        "go {n}", extra="lists: {n: {spell: icao, min_length: 1, max_length: 32}}"
    ),
    "many homophones": lambda: _command(" ".join(["(to|two|too)"] * 60)),
    "many slots": lambda: _command(
        " ".join(f"{{n:s{i}}}" for i in range(60)), extra="lists: {n: [two, too, to]}"
    ),
    "a number without end": lambda: _command("go " + "9" * 1_500),
    "surrogates": lambda: _command("go \ud800"),
    "null bytes": lambda: _command("go \0"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(name: str) -> None:
    survive(HOSTILE[name]())
