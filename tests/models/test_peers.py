"""The comparison with other recognizers: their grammar, their matching, and real engines on real orders."""

from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import pocketsphinx
import pytest
from numpy.typing import NDArray

from agent.acoustics.bundle import load_bundle
from agent.evaluation.commands import Label
from agent.grammar import load_grammar
from agent.grammar.compiler import accepted_sentences
from agent.grammar.inspect import Parse, explain, sample
from agent.grammar.lexicon import Lexicon
from models.recipe.calibration_data import Order, orders
from models.recipe.figures import write
from models.recipe.int8 import quantized
from models.recipe.peers import report
from models.recipe.peers.compare import LIMITS, Grammars, by_limit, contestant, count_orders, word_errors
from models.recipe.peers.contestants import Mode, Task
from models.recipe.peers.engines import FINAL, PocketSphinx, Transcript, transitions
from models.recipe.peers.matching import Matcher, readings
from models.recipe.peers.remembered import Remembered
from models.recipe.peers.spelling import spelled
from models.recipe.places import SPEECH
from models.recipe.tokens import TOKENS

REPOSITORY = Path(__file__).parents[2]
BUNDLE = REPOSITORY / "models/bundles/voxline-en-zh"
GRAMMARS = [REPOSITORY / name for name in ("tests/grammars/coffee.yaml", "tests/grammars/an4.yaml")]
needs_speech = pytest.mark.skipif(not SPEECH.is_dir(), reason=f"no recordings at {SPEECH}")


@pytest.fixture(scope="module")
def coffee() -> Task:
    return Task.of(GRAMMARS[0], TOKENS)


@pytest.mark.parametrize("file", [*GRAMMARS, REPOSITORY / "grammars/demo.yaml"], ids=lambda file: file.stem)
def test_pocketsphinx_is_given_exactly_the_sentences_of_the_grammar(file: Path) -> None:
    """Random sentences, and random sentences with a word left out, repeated or replaced."""
    grammar = load_grammar(file)
    sentences, lexicon = accepted_sentences(grammar), Lexicon(grammar.pronounce)
    decoder = pocketsphinx.Decoder(lm=None, loglevel="FATAL")
    start, arcs = transitions(sentences)
    automaton = decoder.create_fsg("grammar", start, FINAL, arcs)
    vocabulary = sorted({word.text for word in sentences.words})
    chooser, strangers = Random(1), 0
    for words, _ in islice(sample(sentences, seed=1), 300):
        said = [word.text for word in words]
        assert automaton.accept(" ".join(said)), said
        at = chooser.randrange(len(said))
        changed = [
            *said[:at],
            *chooser.choice(([], [said[at]] * 2, [chooser.choice(vocabulary)])),
            *said[at + 1 :],
        ]
        inside = isinstance(explain(sentences, lexicon, " ".join(changed)), Parse)
        assert automaton.accept(" ".join(changed)) == inside, changed
        strangers += not inside
    assert strangers > 30


def test_every_sentence_is_nearest_to_itself(coffee: Task) -> None:
    sentences = accepted_sentences(load_grammar(GRAMMARS[0]))
    matcher = Matcher(coffee.graph, coffee.lexicon)
    for words, meaning in islice(sample(sentences, seed=2), 25):
        nearest = matcher.nearest(" ".join(word.text for word in words).capitalize() + ".")
        assert nearest is not None
        assert nearest.cost_per_sound == pytest.approx(0)
        assert nearest.meaning == meaning


@pytest.mark.parametrize(
    ("text", "slots"),
    [
        ("I'd like a moka.", {"coffeeDrink": "mocha"}),
        (
            "Make me triple shot 12 oz, dark rose ice-mochovid, some milk and sweetener.",
            {
                "numberOfShots": "triple shot",
                "size": "twelve ounce",
                "roast": "dark roast",
                "coffeeDrink": "iced mocha",
                "milkAmount": "some milk",
                "sugarAmount": "sweetener",
            },
        ),
    ],
)
def test_a_misheard_text_finds_what_was_said(coffee: Task, text: str, slots: dict[str, str]) -> None:
    nearest = Matcher(coffee.graph, coffee.lexicon).nearest(text)
    assert nearest is not None
    assert dict(nearest.meaning.slots) == slots
    assert 0 <= nearest.cost_per_sound < 0.15


def test_a_text_of_nothing_is_near_nothing(coffee: Task) -> None:
    assert Matcher(coffee.graph, coffee.lexicon).nearest(" ... ") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("J-a-n-e-t.", "J A N E T"),
        ("P.o. W.e. l.l.", "P O W E L L"),
        ("O2173.", "O two one seven three"),
        ("Gftu one", "G F T U one"),
        ("A. Seven.", "A seven"),
        ("a 12 ounce latte", "a twelve ounce latte"),
    ],
)
def test_a_text_is_read_in_every_way(text: str, words: str) -> None:
    assert words.split() in readings(text, Lexicon({}))


def test_word_errors_are_wrong_missing_and_added_words() -> None:
    pairs = [(["one", "two"], ["one", "three"]), ([], ["oh"]), (["zero", "A"], ["oh"])]
    share = word_errors(pairs)
    assert (share.count, share.total) == (3, 4)


class Parrot:
    """Says how many samples it was given, and how often it was asked."""

    identity = "parrot 1"
    asked = 0

    def hear(self, samples: NDArray[np.int16]) -> Transcript:
        self.asked += 1
        return Transcript(str(len(samples)), refused=False)


def test_what_an_engine_said_is_not_asked_again(tmp_path: Path) -> None:
    file, parrot, sound = tmp_path / "said/parrot.jsonl", Parrot(), np.arange(5, dtype=np.int16)
    first = Remembered(parrot, file)
    assert first.hear(sound) == first.hear(sound) == Transcript("5", refused=False)
    assert Remembered(parrot, file).hear(sound).text == "5"
    assert parrot.asked == 1
    Remembered(parrot, file).hear(sound + 1)
    assert parrot.asked == 2


def test_an_answer_that_a_stop_left_half_written_is_asked_again(tmp_path: Path) -> None:
    file, parrot, sound = tmp_path / "parrot.jsonl", Parrot(), np.arange(5, dtype=np.int16)
    for more in range(2):
        Remembered(parrot, file).hear(sound + more)
    whole = file.read_bytes()
    file.write_bytes(whole[:-9])
    again = Remembered(parrot, file)
    assert [again.hear(sound + more).text for more in range(2)] == ["5", "5"]
    assert parrot.asked == 3
    assert file.read_bytes() == whole


def test_pocketsphinx_takes_nothing_for_said_in_silence(coffee: Task) -> None:
    silence = np.zeros(32_000, np.int16)
    assert PocketSphinx(coffee.sentences, coffee.lexicon).hear(silence) == Transcript("", refused=True)


def test_other_settings_are_another_engine(coffee: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = PocketSphinx(coffee.sentences, coffee.lexicon)
    monkeypatch.setattr(PocketSphinx, "SETTINGS", {**PocketSphinx.SETTINGS, "wip": 0.5})
    assert PocketSphinx(coffee.sentences, coffee.lexicon).identity != shipped.identity


@needs_speech
@pytest.mark.parametrize("name", ["voxline", "pocketsphinx", "moonshine"])
def test_real_orders_are_understood_and_reported(name: str, tmp_path: Path) -> None:
    bundle = load_bundle(BUNDLE)
    grammars = Grammars.of(bundle.manifest.tokens)
    few = list(orders(SPEECH, (None,), every=62))
    engine = contestant(name, grammars.coffee, bundle, tmp_path)
    counted = count_orders(engine, few)
    assert counted[Mode.EVERYTHING][0].exact.count == len(few) == 2
    if name != "voxline":
        assert by_limit(engine, few)[max(LIMITS)] == (2, 0)
    figures = report.begun(tmp_path / "figures.json", bundle)
    figures.orders[name] = counted
    write(figures, tmp_path / "figures.json")
    assert report.begun(tmp_path / "figures.json", bundle) == figures
    report.draw(figures, tmp_path / "picture.svg")
    assert (tmp_path / "picture.svg").read_text().rstrip().endswith("</svg>")


def test_figures_of_another_bundle_are_not_added_to(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    path.write_text('{"digest": "0123"}')
    with pytest.raises(ValueError, match=r"its bundle is 0123, not .*: name another file"):
        report.begun(path, load_bundle(BUNDLE))


@needs_speech
def test_recordings_are_those_of_the_calibration() -> None:
    order = next(iter(orders(SPEECH, (12.0,), every=1)))
    assert isinstance(order, Order)
    assert order.label == Label(
        command="orderDrink", slots={"coffeeDrink": "coffee", "roast": "light roast", "size": "twelve ounce"}
    )
    assert sum(len(each.words) for each in spelled(SPEECH)) == 441


def test_the_int8_bundle_answers_nearly_as_the_one_it_was_made_from(tmp_path: Path) -> None:
    made, full = quantized(BUNDLE, tmp_path / "int8"), load_bundle(BUNDLE)
    one, other = (np.fromfile(bundle.folder / "canary.logits.f32", "<f4") for bundle in (made, full))
    assert np.corrcoef(one, other)[0, 1] > 0.99
    assert made.onnx.stat().st_size < 0.7 * full.onnx.stat().st_size
    assert load_bundle(tmp_path / "int8").manifest.npu is None
