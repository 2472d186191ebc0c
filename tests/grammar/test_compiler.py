import os
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import GrammarError
from agent.grammar import compile_grammar, load_grammar
from agent.grammar.compiler import accepted_sentences, build_graph, sounds_of
from agent.grammar.graph import Graph
from agent.grammar.inspect import counts, sample
from agent.grammar.lexicon import Lexicon, inventory
from agent.grammar.load import parse_grammar
from agent.grammar.schema import Grammar
from tests.grammar.graphs import (
    accepts,
    all_paths,
    followers,
    graph_of,
    one_command,
    sounds_of_text,
    text_of,
    texts,
)
from tests.grammars.sized import grammar_of, listed_grammar_of

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "grammars").glob("*.yaml"))
TOKENS = ("<blank>", "<noise>", *sorted(inventory()))

SMALL = """
name: small
confirm: []
lists:
  lamp: [hall, {in: "(work|machine)", out: 7}, {in: "main hall", out: main}]
  level: {minimum: 0, maximum: 20, step: 2.5, unit: "[percent]"}
  code: {spell: digits, min_length: 2, max_length: 2}
rules:
  at: "(at|near) {lamp}"
commands:
  set:
    sentences: ["set [the] {lamp} to {level}", "set {level} [<at>]"]
    topic: set
    payload: {lamp: "{lamp}", level: "{level}"}
  code:
    sentences: ["code {code}"]
    topic: code
    payload: "{code}"
  stop:
    sentences: ["stop (now;please)"]
    risk: low
    topic: stop
"""


@pytest.fixture(scope="module")
def small() -> Graph:
    return graph_of(parse_grammar(SMALL))


def drawn(grammar: Grammar, count: int) -> Iterator[tuple[str, object]]:
    for words, meaning in islice(sample(accepted_sentences(grammar), seed=7), count):
        yield " ".join(word.text for word in words), meaning


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_sampled_sentence_is_heard_as_itself(path: Path) -> None:
    grammar = load_grammar(path)
    graph, lexicon = compile_grammar(grammar, TOKENS), Lexicon(grammar.pronounce)
    for text, meaning in drawn(grammar, 40):
        for sounds in islice(sounds_of_text(text, lexicon), 8):
            readings = [path for path in accepts(graph, sounds) if text_of(graph, path) == text]
            assert [graph.interpret(path) for path in readings] == [meaning]
            # Whatever else sounds the same means the same.
            assert {str(graph.interpret(path)) for path in accepts(graph, sounds)} == {str(meaning)}


def test_small_grammar_as_written_by_hand(small: Graph) -> None:
    meanings = {text_of(small, path): small.interpret(path) for path in all_paths(small)}
    assert dict(meanings["set the main hall to twelve point five percent"].slots) == {
        "lamp": "main",
        "level": 12.5,
    }
    assert dict(meanings["set zero near machine"].slots) == {"lamp": 7, "level": 0.0}
    assert dict(meanings["code zero oh"].slots) == {"code": "00"}
    assert meanings["stop please now"].command == "stop"
    assert meanings["never mind"].command == "voxline.cancel"
    assert "voxline.confirm" not in {meaning.command for meaning in meanings.values()}
    assert "set hall" not in meanings


def test_count_equals_enumeration(small: Graph) -> None:
    per_command = counts(accepted_sentences(parse_grammar(SMALL)))
    listed = [
        small.interpret(path).command for path in {text_of(small, p): p for p in all_paths(small)}.values()
    ]
    assert {name: listed.count(name) for name in set(listed)} == per_command


def test_nodes_are_in_topological_order(small: Graph) -> None:
    for node in range(len(small.label)):
        assert (small.source[small.first_arc[node] : small.first_arc[node + 1]] < node).all()
    assert small.first_arc[0] == 0
    assert small.first_arc[-1] == len(small.source)


def test_graph_is_minimal(small: Graph) -> None:
    """No two nodes have the same sound, word and continuation."""
    after = followers(small)
    seen = set()
    for node in range(len(small.label)):
        key = int(small.label[node]), int(small.word[node]), int(small.final[node]), tuple(after[node])
        assert key not in seen
        seen.add(key)


def test_no_node_is_useless(small: Graph) -> None:
    assert small.enabled([command.name for command in small.commands]).all()
    reached = small.starts.copy()
    for node in range(len(small.label)):
        reached[node] |= reached[small.source[small.first_arc[node] : small.first_arc[node + 1]]].any()
    assert reached.all()


def test_words_end_at_their_last_sound() -> None:
    graph = graph_of(one_command("start the pump"))
    for path in all_paths(graph):
        sounds = [graph.tokens[label] for label in graph.label[list(path)]]
        ends = np.flatnonzero(graph.word[list(path)] >= 0)
        assert sounds[: ends[0] + 1] == ["S", "T", "AA", "R", "T"]
        assert sounds[ends[1] + 1 :] == ["P", "AH", "M", "P"]
        assert ends[-1] == len(path) - 1


def test_pronunciations_stand_in_parallel() -> None:
    lexicon = Lexicon({})
    graph = graph_of(one_command("the route"))
    spoken = {tuple(graph.tokens[label] for label in graph.label[list(path)]) for path in all_paths(graph)}
    assert spoken == set(sounds_of_text("the route", lexicon))
    assert len(spoken) == 4


def test_distinct_commands_end_at_distinct_nodes() -> None:
    grammar = parse_grammar(
        "name: two\ncommands:\n"
        "  a: {topic: a, sentences: [open the door]}\n  b: {topic: b, sentences: [close the door]}\n"
    )
    graph = graph_of(grammar)
    meanings = {text_of(graph, path): graph.interpret(path).command for path in all_paths(graph)}
    assert meanings["open the door"] == "a"
    assert meanings["close the door"] == "b"


def test_enabled_keeps_what_leads_to_a_command(small: Graph) -> None:
    alive = small.enabled(["stop"])
    kept = {
        text_of(small, path)
        for path in all_paths(small)
        if alive[list(path)].all() and small.commands[small.final[path[-1]]].name == "stop"
    }
    assert kept == {"stop now please", "stop please now"}
    only = {small.interpret(path).command for path in all_paths(small) if alive[list(path)].all()}
    assert only == {"stop"}
    assert not small.enabled([]).any()


def test_own_pronunciation_goes_first() -> None:
    graph = graph_of(one_command("go voxline", extra="pronounce: {Voxline: [V AA K S, V OW K S L IY N]}"))
    spoken = {tuple(graph.tokens[label] for label in graph.label[list(path)]) for path in all_paths(graph)}
    assert spoken == {("G", "OW", "V", "AA", "K", "S"), ("G", "OW", "V", "OW", "K", "S", "L", "IY", "N")}


def test_a_model_without_the_sounds_is_refused() -> None:
    english = [token for token in TOKENS if token.isupper() or token.startswith("<")]
    compile_grammar(load_grammar(ROOT / "grammars/demo.yaml"), english)
    with pytest.raises(GrammarError, match=r"does not know these sounds: .*ong \(in `\w+`\)"):
        compile_grammar(load_grammar(ROOT / "grammars/conveyor-zh.yaml"), english)


def test_an_unpronounceable_word_is_refused() -> None:
    with pytest.raises(GrammarError, match=r":\d+:\d+: .* nobody knows how `щит` sounds"):
        compile_grammar(one_command("open щит"), TOKENS)


@pytest.mark.parametrize("sentences", [100, 1_000, 10_000, 100_000])
def test_large_grammars_compile(sentences: int) -> None:
    grammar = grammar_of(sentences)
    graph = compile_grammar(grammar, TOKENS)
    assert accepted_sentences(grammar).count() >= sentences
    assert len(graph.label) < 1_000
    for text, meaning in drawn(grammar, 5):
        (spoken, *_) = sounds_of_text(text, Lexicon({}))
        assert [graph.interpret(path) for path in accepts(graph, spoken)] == [meaning]


def test_listed_sentences_compile() -> None:
    grammar = listed_grammar_of(2_000)
    assert accepted_sentences(grammar).count() == 2_000 + 4  # and confirm, cancel
    assert len(compile_grammar(grammar, TOKENS).label) < 3_000


def same(one: Graph, other: Graph) -> bool:
    arrays = ("label", "first_arc", "source", "starts", "word", "final")
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        and getattr(one, name).dtype == getattr(other, name).dtype
        for name in arrays
    ) and (one.tokens, one.words, one.commands, one.neighbours) == (
        other.tokens,
        other.words,
        other.commands,
        other.neighbours,
    )


def test_compiling_is_deterministic() -> None:
    assert same(graph_of(parse_grammar(SMALL)), graph_of(parse_grammar(SMALL)))


def test_every_word_on_every_path_knows_its_neighbours() -> None:
    graph = compile_grammar(parse_grammar(SMALL), TOKENS)
    said: set[tuple[int, ...]] = set()
    for path in all_paths(graph):
        sounds: list[int] = []
        for node in path:
            sounds.append(int(graph.label[node]))
            if graph.word[node] >= 0:
                said.add(tuple(sounds))
                sounds = []
    assert said == graph.neighbours.keys()
    hall = tuple(TOKENS.index(sound) for sound in ("HH", "AO", "L"))
    assert (0, TOKENS.index("B")) in graph.neighbours[hall]


def test_cache_gives_the_same_graph(tmp_path: Path) -> None:
    for path in SHIPPED:
        grammar = load_grammar(path)
        fresh = compile_grammar(grammar, TOKENS, tmp_path)
        cached = compile_grammar(grammar, TOKENS, tmp_path)
        assert same(fresh, cached)
        for _, meaning in drawn(grammar, 20):
            for slot in meaning.slots:  # type: ignore[attr-defined]
                key = meaning.command, slot  # type: ignore[attr-defined]
                spoken = next(iter(fresh.slot_values[key]))
                assert cached.slot_values[key][spoken] == fresh.slot_values[key][spoken]
    assert len(list(tmp_path.iterdir())) == len(SHIPPED)


def test_cache_is_found_by_content(tmp_path: Path) -> None:
    compile_grammar(parse_grammar(SMALL), TOKENS, tmp_path)
    compile_grammar(parse_grammar(SMALL + "# a comment\n", file="elsewhere"), TOKENS, tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    compile_grammar(parse_grammar(SMALL.replace("stop (", "halt (")), TOKENS, tmp_path)
    compile_grammar(parse_grammar(SMALL), (*TOKENS, "extra"), tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_commands_in_another_order_are_not_taken_for_each_other(tmp_path: Path) -> None:
    start = "  start: {sentences: [start the conveyor], topic: start}\n"
    halt = "  halt: {sentences: [halt the conveyor], topic: halt}\n"
    for body in (start + halt, halt + start):
        graph = compile_grammar(parse_grammar(f"name: a\ncommands:\n{body}"), TOKENS, tmp_path)
        said = {text_of(graph, path): graph.interpret(path).command for path in all_paths(graph)}
        assert (said["start the conveyor"], said["halt the conveyor"]) == ("start", "halt")


def test_graphs_do_not_pile_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.grammar.cache._KEPT", 2)
    (tmp_path / "left-by-a-power-cut.graph.partial").write_bytes(b"half")
    for word in ("halt", "rest", "wait"):
        compile_grammar(parse_grammar(SMALL.replace("stop (", f"{word} (")), TOKENS, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_damaged_cache_is_rebuilt(tmp_path: Path) -> None:
    grammar = parse_grammar(SMALL)
    fresh = compile_grammar(grammar, TOKENS, tmp_path)
    (file,) = tmp_path.iterdir()
    good = file.read_bytes()
    damaged = [b"", good[:10], good[:-1], good + b"x", b"\x00" * len(good)]
    damaged += [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in range(0, len(good), 499)]
    for content in damaged:
        file.write_bytes(content)
        assert same(compile_grammar(grammar, TOKENS, tmp_path), fresh)
        assert file.read_bytes() == good
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    compile_grammar(parse_grammar(SMALL), TOKENS, tmp_path)


def test_a_cache_path_that_is_a_file_costs_only_time(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    compile_grammar(parse_grammar(SMALL), TOKENS, blocked)


_ALIKE = ("red", "reds", "rest", "crate", "great", "straight", "tea", "two", "too", "team")
nouns = st.lists(st.sampled_from(_ALIKE), min_size=1, max_size=3)


@settings(max_examples=120, deadline=None)
@given(st.lists(nouns.map(" ".join), min_size=1, max_size=8, unique=True))
def test_a_graph_says_exactly_its_sentences(phrases: list[str]) -> None:
    """Also where one word begins like another, or sounds like it."""
    grammar = one_command(*phrases)
    graph = graph_of(grammar)
    assert texts(graph) == set(phrases)
    lexicon = Lexicon({})
    wanted = {sounds for phrase in phrases for sounds in sounds_of_text(phrase, lexicon)}
    assert {tuple(graph.tokens[n] for n in graph.label[list(path)]) for path in all_paths(graph)} == wanted
    sentences = accepted_sentences(grammar)
    assert same(graph, build_graph(sentences, lexicon, sounds_of(sentences, lexicon)))
