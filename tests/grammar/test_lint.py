"""Every fault, with its line and column."""

from pathlib import Path

import pytest

from agent.errors import GrammarError
from agent.grammar import automaton
from agent.grammar.fault import FaultyGrammarError, Severity
from agent.grammar.lint import check, check_file
from agent.grammar.load import load_grammar, parse_grammar

ROOT = Path(__file__).parents[2]
COMMANDS = "commands:\n  start_pump:\n    topic: pump\n    sentences:\n      - start the pump\n"
HEAD = "name: a\n" + COMMANDS
TWO_LISTS = HEAD + "      - move {m:n}\n      - go {k:n}\nlists:\n"
"""Their definitions follow: two lists that fill one slot."""


def faults(text: str, tmp_path: Path) -> list[tuple[str, int, int]]:
    file = tmp_path / "grammar.yaml"
    file.write_text(text)
    return [(fault.code, fault.line, fault.column) for fault in check_file(file)]


@pytest.mark.parametrize("path", sorted((ROOT / "grammars").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_grammars_have_no_fault(path: Path) -> None:
    assert [str(fault) for fault in check_file(path)] == []


def test_a_good_grammar_has_no_fault(tmp_path: Path) -> None:
    assert faults(HEAD, tmp_path) == []


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        # reading
        ("name: a: b", ("yaml", 1, 8)),
        ("name: a\nname: b\n", ("duplicate", 2, 1)),
        ("a: &x 1\nb: *x\n", ("anchor", 1, 4)),
        ("a: !!python/object:os.system 1\n", ("tag", 1, 4)),
        ("[" * 40 + "]" * 40, ("too_deep", 1, 17)),
        ("- a\n", ("schema", 1, 1)),
        # schema
        ("name: a\nlanguages: en\n" + COMMANDS, ("unknown_key", 2, 1)),
        (HEAD + "    prioritiy: high\n", ("unknown_key", 7, 5)),
        (HEAD + "    risk: hihg\n", ("schema", 7, 11)),
        (HEAD + "    name: other\n", ("unknown_key", 7, 5)),
        (HEAD + "    time_to_live_s: -1\n", ("schema", 7, 21)),
        (HEAD + "    topic2: x\n", ("unknown_key", 7, 5)),
        (HEAD + "    requires: [{state: x}]\n", ("schema", 7, 16)),
        (HEAD.replace("topic: pump", "topic: pump/#"), ("schema", 4, 12)),
        (HEAD + "lists:\n  n: {minimum: 9, maximum: 1}\n", ("schema", 8, 6)),
        (HEAD + "lists:\n  n: {minimum: 0, maximum: 1e9999999}\n", ("schema", 8, 6)),
        (HEAD + "lists:\n  n: {minimum: 0, maximum: 1, step: 1e-9999999}\n", ("schema", 8, 6)),
        (HEAD + "lists:\n  n: {minimum: 1e-9999999, maximum: 1}\n", ("schema", 8, 6)),
        (HEAD + "    requires: [{state: x, minimum: 5, maximum: 2}]\n", ("schema", 7, 16)),
        (HEAD + "lists:\n  n: {minimum: 0, maximum: 1, stepp: 2}\n", ("unknown_key", 8, 31)),
        (HEAD + "lists:\n  n: [a, {in: b, out: 1, unit: x}]\n", ("unknown_key", 8, 26)),
        ("name: a\ncommands: {}\n", ("schema", 2, 11)),
        # templates
        (HEAD + "      - stop the (pump\n", ("template", 7, 18)),
        (HEAD + "      - stop the pump)\n", ("template", 7, 22)),
        (HEAD + "      - stop {}\n", ("template", 7, 14)),
        (HEAD + "      - stop at 5 %\n", ("unknown_character", 7, 19)),
        (HEAD + '      - "stop {pmup}"\nlists:\n  pump: [a, b]\n', ("undefined_list", 7, 15)),
        (HEAD + "      - stop <pump>\n", ("undefined_rule", 7, 14)),
        (HEAD + "      - stop <a>\nrules:\n  a: at {pmup}\nlists: {pump: [a]}\n", ("undefined_list", 9, 9)),
        (
            HEAD + "      - at {n}\n  b: {topic: b, sentences: ['on {n}'], slots: {n: [up]}}\n",
            ("undefined_list", 7, 9),
        ),
        (HEAD + "      - go {9..1:n}\n", ("schema", 7, 12)),
        (HEAD + "      - go {@n}\n", ("template", 7, 12)),
        (HEAD + "      - go {-10..10,5:n}\n", ("template", 7, 12)),
        (HEAD + "      - go {0.5..2:n}\n", ("template", 7, 12)),
        (HEAD + "      - go to 1,000 now\n", ("unknown_character", 7, 15)),
        (HEAD + "      - to the 1st floor\n", ("unknown_character", 7, 16)),
        (HEAD + "      - go to 12 000 now\n", ("unknown_character", 7, 15)),
        (HEAD + "      - load 2.5.1 now\n", ("unknown_character", 7, 14)),
        (HEAD + "      - mail me @ home\n", ("unknown_character", 7, 17)),
        (HEAD + "      - go {n}\nlists: {n: [{in: '- 5', out: -5}]}\n", ("unknown_character", 8, 19)),
        (HEAD + "      - set it to .5 bar\n", ("unknown_character", 7, 19)),
        (HEAD + "      - set it to –5 degrees\n", ("unknown_character", 7, 19)),
        (HEAD + "      - 'go {n:a-b}'\nlists: {n: [up, down]}\n", ("template", 7, 13)),
        (HEAD + "      - <a>\nrules:\n  a: x <b>\n  b: y <a>\n", ("cycle", 9, 6)),
        (HEAD + "      - '[stop]'\n", ("empty_sentence", 6, 9)),
        (HEAD + "      - move {n} and {n}\nlists: {n: [a, b]}\n", ("slot_twice", 7, 9)),
        (HEAD + "lists:\n  n: [{in: a, out: 1}, {in: a, out: 2}]\n", ("values", 8, 6)),
        (HEAD + "lists:\n  n: [a, 'the {n}']\n", ("template", 8, 11)),
        (
            HEAD + "      - move {n}\n      - go {m:n}\nlists: {n: [one], m: [{in: one, out: 10}]}\n",
            ("values", 8, 9),
        ),
        (
            HEAD + "      - move {0..9:n}\n      - go {m:n}\nlists: {m: [{in: one, out: 10}]}\n",
            ("values", 8, 9),
        ),
        (
            HEAD + "      - move {0..9:n}\n      - go {m:n}\nlists: {m: {spell: digits, max_length: 3}}\n",
            ("values", 8, 9),
        ),
        (
            TWO_LISTS + "  m: {spell: icao, min_length: 3, max_length: 3}\n"
            "  k: {minimum: 50, maximum: 500, step: 50, read: [digits]}\n",
            ("values", 8, 9),
        ),
        (
            TWO_LISTS + "  m: {spell: digits, max_length: 3}\n  k: {minimum: 0.5, maximum: 9.5, step: 0.5}\n",
            ("values", 8, 9),
        ),
        (
            TWO_LISTS + "  m: {minimum: 1, maximum: 9, unit: hundred}\n"
            "  k: {minimum: 100, maximum: 900, step: 100}\n",
            ("values", 8, 9),
        ),
        (
            TWO_LISTS + "  m: {spell: icao, max_length: 3}\n  k: {minimum: 1, maximum: 9, unit: kilo}\n",
            ("values", 8, 9),
        ),
        # meaning
        (HEAD + "  b:\n    topic: b\n    sentences: [start the pump]\n", ("same_sentence", 9, 17)),
        (HEAD + "    payload: {speed: '{speed}'}\n", ("unknown_slot", 7, 23)),
        (HEAD + "      - move {n}\nlists: {n: [up, down]}\n", ("unpublished_slot", 3, 3)),
        (HEAD + "lists:\n  n: {minimum: 0, maximum: 100, step: 30}\n", ("unreached_maximum", 8, 28)),
        (HEAD + "lists: {n: [up, down]}\n", ("unused_list", 7, 9)),
        (HEAD + "    slots: {n: [up, down]}\n", ("unused_list", 7, 13)),
        (HEAD + "rules: {r: up}\n", ("unused_rule", 7, 9)),
        ("name: a\nconfirm: []\n" + COMMANDS + "    risk: high\n", ("no_confirm", 2, 10)),
        (HEAD + "lists:\n  n: [{in: halt, out: safety_stop}, up]\n", ("safety_claim", 8, 23)),
        # sounds
        (HEAD + "      - start the zorbulator\n", ("guessed_word", 7, 19)),
        (
            "name: a\nlanguage: zh\ncommands: {b: {topic: b, sentences: ['启动PLC']}}\n",
            ("guessed_word", 3, 41),
        ),
        (HEAD + "      - start the щит\n", ("unknown_word", 7, 19)),
        (HEAD + "      - go\n", ("short_phrase", 6, 9)),
        (HEAD + "pronounce: {pump: P AH MM P}\n", ("unknown_sound", 7, 19)),
        (HEAD + "pronounce: {pump: [P AH M P, 5]}\n", ("schema", 7, 30)),
        (HEAD + "pronounce: {pomp: P AH M P}\n", ("unused_pronunciation", 7, 13)),
        (HEAD + "pronounce: {pump: p ang}\n", ("foreign_sound", 7, 19)),
        (HEAD + "  b:\n    topic: b\n    sentences: [start the pumps]\n", ("alike", 9, 16)),
        (
            HEAD + "  b:\n    topic: b\n    sentences: [read the pump]\n"
            "  c:\n    topic: c\n    sentences: [red the pump]\n",
            ("homophones", 9, 16),
        ),
    ],
)  # fmt: skip
def test_fault(text: str, wanted: tuple[str, int, int], tmp_path: Path) -> None:
    found = faults(text, tmp_path)
    if wanted[0] not in ("unpublished_slot", "guessed_word", "short_phrase", "homophones", "alike"):
        assert wanted in found
    assert [fault for fault in found if fault[0] == wanted[0]] == [wanted]


def test_too_many_alternatives_are_named_like_every_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(automaton, "MAX_UNIONS", 8)  # enough for each sentence, too few for all of them
    text = (
        HEAD + "  b: {topic: b, sentences: ['[the] [red] [pump] stop', '[red] [the] [start] [pump] halt']}\n"
    )
    assert ("too_large", 3, 3) in faults(text, tmp_path)


def test_too_many_sounds_are_named_like_every_fault(tmp_path: Path) -> None:
    text = HEAD + f"      - {'pump ' * 100}\npronounce: {{pump: {'P AH M P ' * 15}}}\n"
    assert faults(text, tmp_path) == [("too_large", 3, 3)]


@pytest.mark.parametrize(
    "changed",
    [
        COMMANDS.replace("start_pump:", "emergency_stop:"),
        COMMANDS.replace("start_pump:", "eStop:"),
        COMMANDS.replace("start_pump:", "pump_e_stop:"),
        COMMANDS.replace("topic: pump", "topic: safety/door"),
        COMMANDS.replace("start the pump", "emergency stop"),
        COMMANDS.replace("start the pump", "'e(mergency|) stop the pump'"),
        COMMANDS.replace("start the pump", "E-stop"),
        COMMANDS.replace("start the pump", "e stop now"),
        COMMANDS.replace("start the pump", "紧急停止"),
        COMMANDS.replace("start the pump", "按 急 停"),
        COMMANDS + "    payload: {action: emergencyStop}\n",
        COMMANDS + "    payload: {interlock: 1}\n",
        COMMANDS + "    slots: {what: [{in: halt, out: EMERGENCY_STOP}, right]}\n",
        COMMANDS + "    slots: {what: {values: [{in: halt, out: eStop}]}}\n",
        COMMANDS + "lists:\n  what: [emergency, normal]\n"
        + COMMANDS.partition("commands:\n")[2].replace("start_pump", "b").replace("the pump", "{what} stop"),
    ],
)  # fmt: skip
def test_a_safety_function_is_refused(changed: str) -> None:
    if "lists:" in changed:
        head, _, tail = changed.partition("lists:\n")
        lists, _, more = tail.partition("  b:")
        changed = f"lists:\n{lists}{head}  b:{more}"
    found = [fault for fault in check(parse_grammar(f"name: a\n{changed}")) if fault.code == "safety_claim"]
    assert found
    assert all(fault.severity is Severity.ERROR and "process stop" in fault.advice for fault in found)


@pytest.mark.parametrize(
    "words", ["stop the pump", "unlock the door", "save the file", "estimate the stock", "steps"]
)
def test_ordinary_words_are_no_safety_claim(words: str) -> None:
    found = check(parse_grammar(HEAD.replace("start the pump", words)))
    assert not [fault for fault in found if fault.code == "safety_claim"]


def test_commands_a_sound_apart_are_a_warning() -> None:
    grammar = HEAD + "  bump: {topic: b, sentences: [start the bump]}\n"
    (fault,) = check(parse_grammar(grammar))
    assert (fault.code, fault.severity) == ("alike", Severity.WARNING)
    assert fault.message == (
        "`start_pump` (`start the pump`) and `bump` (`start the bump`) sound alike: 0.40 sounds apart"
    )
    assert "`bump`, `pump`" in fault.advice
    assert "`risk: high` on `start_pump`" in fault.advice


@pytest.mark.parametrize(
    "other",
    [
        "topic: b, sentences: [start the bump], risk: high",
        "topic: b, sentences: [start the mill]",
        "topic: b, sentences: [stop the pump]",  # 1.28 sounds
    ],
)
def test_what_is_read_back_or_further_apart_is_no_warning(other: str) -> None:
    assert check(parse_grammar(HEAD + f"  b: {{{other}}}\n")) == []


def test_phrases_of_the_dialogue_get_advice_that_can_be_taken() -> None:
    (fault,) = check(parse_grammar("name: a\nconfirm: [do the lot]\ncancel: [do the lock]\n" + COMMANDS))
    assert fault.code == "alike"
    assert "risk" not in fault.advice


def test_one_fault_hides_no_other(tmp_path: Path) -> None:
    found = faults(
        "name: a\nlists:\n  n: [up, {in: (down, out: 1}]\nrules:\n  r: at {m}\ncommands:\n"
        "  a:\n    topic: a\n    sentences:\n"
        "      - move {n}\n      - stop <r>\n      - start the zorbulator\n"
        "      - halt {x}\n      - go\n    payload: {n: '{n}', k: '{k}'}\n    risk: high\nconfirm: []\n",
        tmp_path,
    )
    assert found == [
        ("template", 3, 16),
        ("undefined_list", 5, 9),
        ("unpublished_slot", 7, 3),
        ("unpublished_slot", 7, 3),
        ("short_phrase", 10, 9),
        ("guessed_word", 12, 19),
        ("undefined_list", 13, 14),
        ("unknown_slot", 15, 29),
        ("no_confirm", 17, 10),
    ]


def test_advice_names_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "grammar.yaml"
    file.write_text(HEAD + "    prioritiy: 1\n    refractory: 2\n")
    with pytest.raises(FaultyGrammarError) as caught:
        load_grammar(file)
    assert "Did you mean `refractory_s`?" in str(caught.value)
    assert str(caught.value).startswith(f"{file}:7:5: error [unknown_key]")


@pytest.mark.parametrize(
    ("bounds", "says"),
    [
        ("0..9000000,1", "more than 3,000,000 values. Choose a larger step"),
        ("9..1", "`minimum` is above `maximum`. Swap them"),
        ("0..9,0", "input should be greater than 0. Correct the value"),
    ],
)
def test_a_range_in_place_is_refused_as_in_a_list(bounds: str, says: str) -> None:
    (fault,) = check(parse_grammar(HEAD + f"      - 'go {{{bounds}:n}}'\n    payload: '{{n}}'\n"))
    assert (fault.code, fault.line, fault.column) == ("schema", 7, 13)
    assert f"`{{{bounds}}}`: {says}" in str(fault)


@pytest.mark.parametrize(
    ("entry", "advice"),
    [
        ("[{in: up, out: 1}, {in: up, out: 2}]", "Give each value its own words"),
        ("{minimum: 1, maximum: 900, unit: '[hundred]'}", "Choose another word for the unit"),
        (f"{{minimum: 1, maximum: 9, unit: '{'[very] [quite] ' * 20}slow'}}", "Leave some out"),
        (f"[{'up ' * 201}]", "Shorten it"),
        ("[up, '!']", "Write it as it is said"),
    ],
)
def test_what_is_wrong_with_a_list_has_advice_of_its_own(entry: str, advice: str) -> None:
    found = check(parse_grammar(f"{HEAD}lists: {{n: {entry}}}\n"))
    assert [fault.advice for fault in found if fault.code == "values"] == [advice]


def test_missing_sounds_are_an_error() -> None:
    (fault,) = check(parse_grammar(HEAD), tokens=["<blank>", "<noise>", "AA"])
    assert (fault.code, fault.severity) == ("missing_sounds", Severity.ERROR)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "none.yaml", tmp_path, tmp_path / "binary"):
        with pytest.raises(GrammarError):
            load_grammar(path)
        assert [fault.code for fault in check_file(path)] == ["unreadable"]


def test_a_slot_without_quotes_in_a_payload_is_told_as_such() -> None:
    text = "name: a\nlists: {n: {minimum: 1, maximum: 9}}\ncommands:\n  b:\n    topic: b\n"
    text += "    sentences: ['go to {n}']\n    payload: {to: [{n}]}\n"
    (fault,) = check(parse_grammar(text))
    assert str(fault).endswith(
        ":7:20: warning [unpublished_slot] slot `n` is said but not published: "
        'without quotes `{n}` is a mapping. Write "{n}" in quotes'
    )


@pytest.mark.parametrize(("wide", "narrow"), [("（", "("), ("｜", "|"), ("［", "["), ("；", ";")])
def test_brackets_of_a_chinese_keyboard_are_told(wide: str, narrow: str) -> None:
    text = f"name: a\nlanguage: zh\ncommands: {{b: {{topic: b, sentences: ['启动{wide}停止']}}}}\n"
    (fault,) = check(parse_grammar(text))
    assert (fault.message, fault.advice) == (f"`{wide}` cannot be said", f"Write a half-width `{narrow}`")


def test_text_that_is_no_utf_8_is_told_by_its_line(tmp_path: Path) -> None:
    file = tmp_path / "latin.yaml"
    file.write_text("name: a\ndescription: Säge\n", "latin-1")
    (fault,) = check_file(file)
    assert str(fault) == (
        f"{file}:1:1: error [unreadable] byte 0xe4 in line 2 is no UTF-8. Save the file as UTF-8"
    )


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("name: a", "name: My Press", "1:7: name: `My Press` cannot stand here. Use lower-case letters"),
        ("  b:", "  b-c:", "3:3: commands.b-c: `b-c` cannot stand here. Use letters, digits and `_`"),
        ("topic: b", "topic: /b", "4:12: commands.b.topic: `/b` cannot stand here. Use letters"),
        ("[go on]", "go on", "5:16: commands.b.sentences: must be a list. Write it in brackets"),
        ("[go on]", "[]", "5:16: commands.b.sentences: is empty. Give at least one"),
        ("[go on]", "['']", "5:18: commands.b.sentences.0: string should have at least 1 character"),
        ("commands:", "lists: {a: [true]}\ncommands:", "2:13: lists.a.0: must be a text, a number or {in"),
        (
            "commands:",
            "lists: {a: {minimum: 0, maximum: 9, unit: [percent]}}\ncommands:",
            "2:43: lists.a.unit: must be a text. Put it in quotes",
        ),
        ("commands:", "lists: {a: [{in: 5, out: 5}]}\ncommands:", "2:18: lists.a.0.in: must be a text. Put"),
        ("commands:", "lists:\ncommands:", "2:7: lists: must be a mapping. Write `key: value` below it"),
        ("go on", "go \x01on", "5:20: not valid YAML: character U+0001 is not allowed. Remove it"),
    ],
)
def test_what_a_newcomer_mistakes_is_said_in_plain_words(old: str, new: str, says: str) -> None:
    text = "name: a\ncommands:\n  b:\n    topic: b\n    sentences: [go on]\n"
    with pytest.raises(FaultyGrammarError) as refused:
        parse_grammar(text.replace(old, new))
    (fault,) = refused.value.faults
    assert f"{fault.line}:{fault.column}: {fault.message}. {fault.advice}".startswith(says)


def test_on_and_off_are_words() -> None:
    grammar = parse_grammar("name: a\nlists: {state: [on, off, yes, no]}\n" + COMMANDS)
    assert [value.value for value in grammar.lists["state"].values] == ["on", "off", "yes", "no"]  # type: ignore[union-attr]
