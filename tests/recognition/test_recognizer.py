"""Utterances from spoken-looking posteriors: what is heard, how sure, and when it is over."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.acoustics.manifest import Calibration
from agent.acoustics.stream import Emission, Frames
from agent.errors import BundleError
from agent.grammar.graph import Word
from agent.grammar.neighbours import Neighbours
from agent.grammar.schema import Spelled
from agent.grammar.slots import SpokenValues
from agent.recognition.confidence import EVIDENCE, clarity, foreign, uncertainty
from agent.recognition.hypothesis import Hypothesis, Reject
from agent.recognition.recognizer import Recognizer
from tests.recognition.toy import TOKENS, chain_graph, speak

FRAME_S = 0.024
SENTENCES = [
    ("light", [(Word("abc"), "ABC"), (Word("on", opens="s", closes="s"), "AD")]),
    ("light", [(Word("abc"), "ABC"), (Word("off", opens="s", closes="s"), "AB")]),
    ("stop", [(Word("cdcd"), "CDCD")]),
    ("move", [(Word("dadada"), "DADADA"), (Word("cbcb"), "CBCB")]),
]
CALIBRATION = Calibration(
    blank_penalty=0,
    loop_penalty=3,
    entry_penalty=0,
    min_margin=2.0,
    min_probability=0.5,
    weights={"bias": 3.0, "worst_word": 1.0},
)


def emissions(
    frames: NDArray[np.float32],
    hop: int = 10,
    ahead: int = 12,
    revised: NDArray[np.float32] | None = None,
    levels_dbfs: NDArray[np.float32] | None = None,
) -> list[Emission]:
    """Cut frames into hops; `revised` is how the windows that follow hear them."""
    times = np.arange(len(frames), dtype=np.float64) * FRAME_S
    later = frames if revised is None else revised
    levels = np.full(len(frames), -30, np.float32) if levels_dbfs is None else levels_dbfs

    def cut(source: NDArray[np.float32], start: int, end: int) -> Frames:
        return Frames(source[max(0, start) : end], times[max(0, start) : end])

    return [
        Emission(
            cut(frames, start, start + hop),
            cut(frames, start + hop, start + hop + ahead),
            cut(later, start - 3 * hop, start),
            levels[start : start + hop],
        )
        for start in range(0, len(frames), hop)
    ]


def hear(frames: NDArray[np.float32], ahead: int = 12) -> list[tuple[int, Hypothesis]]:
    recognizer = Recognizer(chain_graph(SENTENCES), CALIBRATION, FRAME_S)
    return [
        (hop, hypothesis)
        for hop, emission in enumerate(emissions(frames, ahead=ahead))
        for hypothesis in recognizer.push(emission)
    ]


@pytest.mark.parametrize("ahead", [0, 12])
def test_hears_a_sentence_once_with_slots_words_and_times(ahead: int) -> None:
    [(_, heard)] = hear(speak("ABC AD"), ahead)
    assert (heard.reject, heard.command, dict(heard.slots), heard.text) == (
        None,
        "light",
        {"s": "on"},
        "abc on",
    )
    assert heard.probability > 0.9
    assert heard.runner_up is not None
    assert dict(heard.runner_up.slots) == {"s": "off"}
    assert heard.margin is not None
    assert heard.margin > 5
    assert heard.start_s == pytest.approx(10 * FRAME_S, abs=2 * FRAME_S)
    assert heard.end_s == pytest.approx(27 * FRAME_S, abs=2 * FRAME_S)
    for before, after in pairwise(heard.words):
        assert before.end_s <= after.start_s


def test_one_wrong_sound_is_found_in_its_word() -> None:
    [(_, heard)] = hear(speak("ABC AC"))
    assert heard.reject in {Reject.WEAK_WORD, Reject.AMBIGUOUS}
    assert heard.worst_word is not None
    assert heard.worst_word.text in {"on", "off"}
    assert heard.words[0].score > -0.5


@pytest.mark.parametrize("carrier", [False, True])
def test_a_word_on_which_nothing_hangs_need_not_be_said_well(carrier: bool) -> None:
    begin, switch = Word("abc", carrier=carrier), Word("on", opens="s", closes="s")
    graph = chain_graph([("light", [(begin, "ABC"), (switch, "AD")])])
    a, b, c, d = (TOKENS.index(sound) for sound in "ABCD")
    recognizer = Recognizer(replace(graph, neighbours={(a, b, c): ((1, d),)}), CALIBRATION, FRAME_S)
    [heard] = [one for emission in emissions(speak("ADC AD")) for one in recognizer.push(emission)]
    assert heard.words[0].score < -5
    assert heard.worst_word is heard.words[int(carrier)]
    assert (heard.evidence["worst_word"] > -0.5) is carrier
    assert (heard.evidence["other_word"] > -0.5) is carrier
    assert min(heard.evidence["worst_word"], heard.evidence["next_worst_word"]) == heard.words[0].score
    assert heard.reject is (None if carrier else Reject.WEAK_WORD)


@pytest.mark.parametrize(("place", "counts"), [(1, True), (0, False)])
def test_a_wrong_sound_that_makes_another_word_is_told_apart(place: int, counts: bool) -> None:
    a, b, c, d = (TOKENS.index(sound) for sound in "ABCD")
    words: Neighbours = {(a, d): ((place, c),), (a, b): ((place, c),)}
    recognizer = Recognizer(replace(chain_graph(SENTENCES), neighbours=words), CALIBRATION, FRAME_S)
    [heard] = [one for emission in emissions(speak("ABC AC")) for one in recognizer.push(emission)]
    assert heard.evidence.keys() == EVIDENCE
    assert heard.evidence["worst_word"] < -5
    assert heard.evidence["other_word"] == (heard.evidence["worst_word"] if counts else 0)


@pytest.mark.parametrize(("tokens", "share"), [(TOKENS, 0.0), ([token.lower() for token in TOKENS], 1.0)])
def test_a_sentence_tells_how_much_of_it_is_mandarin(tokens: list[str], share: float) -> None:
    recognizer = Recognizer(replace(chain_graph(SENTENCES), tokens=tuple(tokens)), CALIBRATION, FRAME_S)
    [heard] = [one for emission in emissions(speak("ABC AD")) for one in recognizer.push(emission)]
    assert heard.command == "light"
    assert heard.evidence["mandarin"] == share


def test_a_sentence_is_found_without_foreign_sounds_and_tells_how_much_of_them_was_heard() -> None:
    graph = replace(chain_graph(SENTENCES), tokens=(*TOKENS, "zh"))

    def heard_with(share: float, least: float = -1000.0) -> Hypothesis:
        native = speak("ABC AD") + np.log1p(-share)
        among = np.column_stack([native, np.full(len(native), np.log(max(share, 1e-9)))])
        strict = CALIBRATION.model_copy(update={"min_clarity": least})
        recognizer = Recognizer(graph, strict, FRAME_S)
        [heard] = [
            one for emission in emissions(among.astype(np.float32)) for one in recognizer.push(emission)
        ]
        return heard

    none, some = heard_with(0.0), heard_with(0.3)
    assert none.evidence["foreign"] == pytest.approx(0, abs=1e-3)
    assert some.evidence["foreign"] == pytest.approx(np.log10(0.3e5), abs=1e-3)
    assert some.text == none.text == "abc on"
    for name in EVIDENCE - {"foreign"}:
        assert some.evidence[name] == pytest.approx(none.evidence[name], abs=1e-3), name
    between = (clarity(none.evidence) + clarity(some.evidence)) / 2
    assert heard_with(0.0, between).reject is None
    assert heard_with(0.3, between).reject is Reject.BACKGROUND


@pytest.mark.parametrize(("murk", "reject"), [(0.1, None), (0.4, Reject.BACKGROUND)])
def test_where_the_model_knows_little_even_the_likeliest_sentence_is_refused(
    murk: float, reject: Reject | None
) -> None:
    clear = np.exp(speak("ABC AD"))
    frames = np.log((1 - murk) * clear + murk * clear.mean(axis=1, keepdims=True)).astype(np.float32)
    for least, expected in ((-1000.0, None), (1.2, reject)):
        strict = CALIBRATION.model_copy(update={"min_clarity": least})
        recognizer = Recognizer(chain_graph(SENTENCES), strict, FRAME_S)
        [heard] = [one for emission in emissions(frames) for one in recognizer.push(emission)]
        assert (heard.command, heard.reject) == ("light", expected)
        assert heard.probability > 0.9


@pytest.mark.parametrize(
    ("before", "softer_db", "reject"),
    [("DADADA", 0, Reject.IN_TALK), ("DADADA", 12, None), ("CDCD", 0, None)],
)
def test_a_command_in_the_middle_of_talk_is_a_part_of_it(
    before: str, softer_db: int, reject: Reject | None
) -> None:
    """But the talk of people further away is none of its business, nor is another command."""
    first = speak(before, tail=30)
    frames = np.concatenate([first, speak("ABC AD", lead=0)])
    levels = np.full(len(frames), -30, np.float32)
    levels[: len(first)] -= softer_db
    for most, expected in ((1.0, None), (0.05, reject)):
        strict = CALIBRATION.model_copy(update={"max_talk_before": most})
        recognizer = Recognizer(chain_graph(SENTENCES), strict, FRAME_S)
        heard = [h for emission in emissions(frames, levels_dbfs=levels) for h in recognizer.push(emission)]
        assert (heard[-1].command, heard[-1].reject) == ("light", expected)
        assert heard[-1].probability > 0.9


def test_uncertainty_is_the_entropy_of_what_may_be_heard() -> None:
    even = np.full((3, 4), np.log(0.1), np.float32)  # the other 0.6 are of sounds that are left out
    assert uncertainty(even) == pytest.approx(np.log(4))
    sure = np.array([[0.0, -np.inf, -np.inf, -np.inf]], np.float32)
    assert uncertainty(sure) == 0.0


def test_foreign_sounds_count_by_their_mean_share_of_a_frame() -> None:
    nothing = np.full((4, 3), -np.inf, np.float32)
    assert foreign(nothing) == foreign(nothing[:, :0]) == 0
    one_frame_in_four = nothing.copy()
    one_frame_in_four[2] = np.log([0.1, 0.2, 0.1])
    assert foreign(one_frame_in_four) == pytest.approx(4.0, abs=1e-3)


def test_a_sound_that_could_be_either_is_ambiguous() -> None:
    [(_, heard)] = hear(speak("ABC A?"))
    assert heard.reject is Reject.AMBIGUOUS


def test_other_speech_is_background_and_reported_once() -> None:
    [(_, heard)] = hear(speak("BDBDB DBBDB"))
    assert heard.reject is Reject.BACKGROUND


def test_half_a_sentence_times_out_as_incomplete() -> None:
    [(hop, heard)] = hear(speak("DADADA", tail=120))
    assert heard.reject is Reject.INCOMPLETE
    assert hop * 10 * FRAME_S < 28 * FRAME_S + 1.2 + 0.5


def test_a_click_and_silence_are_nothing() -> None:
    assert hear(speak("B", tail=200)) == []
    assert hear(speak("", tail=2000)) == []


def test_looking_ahead_ends_a_sentence_earlier_and_changes_nothing_else() -> None:
    [(late, heard_late)] = hear(speak("CDCD"), ahead=0)
    [(early, heard_early)] = hear(speak("CDCD"), ahead=12)
    assert early < late
    assert (heard_early.command, heard_early.text) == (heard_late.command, heard_late.text)


def test_a_sentence_is_heard_again_after_itself() -> None:
    frames = np.concatenate([speak("CDCD", tail=30), speak("CDCD", seed=1)])
    assert [heard.command for _, heard in hear(frames)] == ["stop", "stop"]


def test_steady_noise_ends_a_sentence_all_the_same() -> None:
    frames = speak("CDCD", tail=0)
    rng = np.random.default_rng(5)
    hum = np.log(rng.dirichlet(np.ones(frames.shape[1]) * 5, 200)).astype(np.float32)
    assert len(hear(np.concatenate([frames, hum]))) >= 1


def test_commands_that_are_off_are_not_heard() -> None:
    graph = chain_graph(SENTENCES)
    recognizer = Recognizer(graph, CALIBRATION, FRAME_S)
    recognizer.enable({"light"})
    heard = [h for emission in emissions(speak("CDCD")) for h in recognizer.push(emission)]
    assert all(h.command != "stop" for h in heard)
    assert all(h.reject for h in heard)


@pytest.mark.parametrize(
    ("sentences", "frames_later"),
    [
        ([("go", [(Word("cdcd"), "CDCD")])], 0),
        ([("go", [(Word("cdcd"), "CDCD")]), ("go", [(Word("cdcd"), "CDCD"), (Word("ab"), "AB")])], 5),
        ([("go", [(Word("cdcd"), "CDCD")]), ("no", [(Word("cdcd"), "CDCD"), (Word("ab"), "AB")])], 18),
    ],
    ids=["can_only_end", "means_the_same_with_more", "may_mean_something_else"],
)
def test_the_wait_after_a_sentence_is_as_long_as_it_needs(
    sentences: list[tuple[str, list[tuple[Word, str]]]], frames_later: int
) -> None:
    recognizer = Recognizer(chain_graph(sentences), CALIBRATION, FRAME_S)
    frames = speak("CDCD")
    last_sound = 10 + 3 * 3
    ended = [
        frame
        for frame, emission in enumerate(emissions(frames, hop=1, ahead=0))
        for heard in recognizer.push(emission)
        if heard.reject is None
    ]
    assert ended == [last_sound + 7 + frames_later]


def test_spelled_characters_may_come_in_groups() -> None:
    """A number may be half said after a pause, and half a number is another number."""
    one, two = Word("one", opens="code", closes="code"), Word("one", opens="code")
    sentences = [("go", [(one, "CDCD")]), ("go", [(two, "CDCD"), (Word("two", closes="code"), "AB")])]
    code = SpokenValues(Spelled(spell="digits", min_length=1, max_length=2), "en")
    graph = replace(chain_graph(sentences), slot_values={("go", "code"): code})
    groups = np.concatenate([speak("CDCD", tail=45), speak("AB", lead=0)])

    def codes(frames: NDArray[np.float32]) -> list[tuple[int, object]]:
        recognizer = Recognizer(graph, CALIBRATION, FRAME_S)
        hops = enumerate(emissions(frames, hop=1, ahead=0))
        return [(frame, heard.slots["code"]) for frame, hop in hops for heard in recognizer.push(hop)]

    assert [code for _, code in codes(groups)] == ["12"]
    last_sound = 10 + 3 * 3
    assert codes(speak("CDCD")) == [(last_sound + 50, "1")]


def test_a_sentence_faster_than_anybody_speaks_is_too_short() -> None:
    sounds = [0] * 10 + [4, 5, 4, 5] + [0] * 60  # C D C D, a frame each: 24 ms a sound
    logits = np.random.default_rng(0).normal(0, 0.5, (len(sounds), 6))
    logits[np.arange(len(sounds)), sounds] += 8.0
    frames = (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype(np.float32)
    [(_, heard)] = hear(frames)
    assert heard.reject is Reject.TOO_SHORT


def test_words_before_and_after_lost_sound_are_not_one_sentence() -> None:
    recognizer = Recognizer(chain_graph(SENTENCES), CALIBRATION, FRAME_S)
    before, after = speak("DADADA", tail=1), speak("CBCB", lead=0)
    heard = [h for emission in emissions(before) for h in recognizer.push(emission)]
    for emission in emissions(after):
        frames = Frames(emission.committed.log_probs, emission.committed.times_s + 60.0)
        nothing = Frames(frames.log_probs[:0], frames.times_s[:0])
        heard += recognizer.push(Emission(frames, nothing, nothing, emission.levels_dbfs))
    assert all(h.command != "move" or h.reject for h in heard)


@pytest.mark.parametrize("pause", [4, 12])
def test_a_command_inside_other_speech_is_none(pause: int) -> None:
    before = speak("CDCD", tail=pause)
    frames = np.concatenate([before, speak("BABABADABAB", lead=0)])
    heard = [h for _, h in hear(frames)]
    assert [h.command for h in heard if h.reject is None] == (["stop"] if pause > 7 else [])


def test_the_windows_that_follow_correct_the_first() -> None:
    """The first takes D for B; the one after it, which hears more, does not."""
    later = speak("ABC AD")
    first = np.log(0.7 * np.exp(speak("ABC AB")) + 0.3 * np.exp(later))
    [(_, alone)] = hear(first, ahead=0)
    recognizer = Recognizer(chain_graph(SENTENCES), CALIBRATION, FRAME_S)
    [heard] = [h for each in emissions(first, ahead=0, revised=later) for h in recognizer.push(each)]
    assert (dict(alone.slots), dict(heard.slots)) == ({"s": "off"}, {"s": "on"})


def test_what_only_the_first_window_heard_was_not_said() -> None:
    first = speak("CDCD")
    later = speak("", lead=len(first), tail=0)
    recognizer = Recognizer(chain_graph(SENTENCES), CALIBRATION, FRAME_S)
    heard = [h for each in emissions(first, ahead=0, revised=later) for h in recognizer.push(each)]
    assert all(h.reject for h in heard)


def test_evidence_that_only_a_newer_agent_gathers_is_named() -> None:
    weights = {"bias": 3.0, "worst_word": 1.0, "breath": 0.5}
    with pytest.raises(BundleError, match="judges by breath, which this agent does not know"):
        Recognizer(chain_graph(SENTENCES), CALIBRATION.model_copy(update={"weights": weights}), FRAME_S)


def test_a_copy_hears_on_by_itself() -> None:
    frames = emissions(speak("ABC AD"))
    recognizer = Recognizer(chain_graph(SENTENCES), CALIBRATION, FRAME_S)
    for emission in frames[:2]:
        recognizer.push(emission)
    other = recognizer.copy()
    heard = [[h for each in frames[2:] for h in ear.push(each)] for ear in (recognizer, other)]
    assert heard[0] == heard[1]
    assert heard[0]
