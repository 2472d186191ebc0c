"""Texts, pronunciations, speakers and jobs of synthetic speech."""

import json
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import pytest

pytest.importorskip("misaki", reason="synthetic speech is planned with misaki, of the extra `train`")

from models.recipe import jobs, numbers
from models.recipe.grammar_texts import grammar_texts
from models.recipe.phones import (
    ARPABET,
    UnknownWordError,
    near_words,
    pronounce,
    sound_distance,
    spoken,
    targets,
)
from models.recipe.slips import slip
from models.recipe.texts import mixed, near_miss, sentences
from models.recipe.tokens import INDEX
from models.recipe.voices import HELD_OUT, Mix, draw_mix, load_styles, style

VOICES = [
    "af_heart",
    "af_bella",
    "am_adam",
    "bf_lily",
    "bm_lewis",
    "ff_siwis",
    "zf_xiaobei",
    "zm_yunxi",
    "zm_yunyang",
]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "zero"),
        (17, "seventeen"),
        (42, "forty two"),
        (2500, "two thousand five hundred"),
        (90_001, "ninety thousand one"),
    ],
)
def test_cardinals_are_spelled(value: int, words: str) -> None:
    assert numbers.cardinal(value) == words


@pytest.mark.parametrize("language", ["en", "zh"])
def test_sentences_are_distinct_enough_and_repeat_with_the_seed(language: str) -> None:
    first = list(islice(sentences(language, 5), 3000))  # type: ignore[arg-type]
    assert first == list(islice(sentences(language, 5), 3000))  # type: ignore[arg-type]
    assert first != list(islice(sentences(language, 6), 3000))  # type: ignore[arg-type]
    assert len({text.words for text in first}) > 2500
    assert not [
        text
        for text in first
        if any(mark in text.words for mark in "{}[]()<>|") or text.words != text.words.strip()
    ]
    assert not [text for text in first if any(character.isdigit() for character in text.words)]


def test_sentences_include_near_misses_of_commands() -> None:
    near = [text for text in islice(sentences("en", 5), 2000) if text.kind == "near"]
    assert 20 < len(near) < 400


def test_a_near_miss_differs_in_one_sound() -> None:
    missed = near_miss("start the press", Random(3))
    assert missed is not None
    changed = [(a, b) for a, b in zip(["start", "the", "press"], missed.split(), strict=True) if a != b]
    (pair,) = changed
    assert pair[1] in near_words(pair[0])
    assert "dress" in near_words("press")
    assert "stress" not in near_words("press")


def test_a_slip_changes_one_sound_in_what_is_said_and_in_its_label_alike() -> None:
    said, wanted = spoken("en", "start the press"), targets("en", "start the press")
    for seed in range(50):
        changed = slip(said, wanted, Random(seed))
        assert changed is not None
        letters = [(a, b) for a, b in zip(said, changed[0], strict=True) if a != b]
        sounds = [(a, b) for a, b in zip(wanted.split(), changed[1].split(), strict=True) if a != b]
        ((_, letter),), ((_, sound),) = letters, sounds
        assert ARPABET[letter] == sound


def test_no_sound_slips_where_letters_and_sounds_do_not_agree() -> None:
    assert slip("ɪtsɐ pɹˈɛs", "IH T S | AH | P R EH S", Random(1)) is None
    assert slip("əɹə", "K AA", Random(1)) is None


def test_jobs_with_slips_are_marked() -> None:
    planned = list(jobs.plan(mixed(4, 0.3), 4, 100, VOICES, slips=1.0))
    slipped = [job for job in planned if job.kind == "slip"]
    assert len(slipped) > 40
    assert {job.language for job in slipped} == {"en"}


def test_letters_and_articles_are_told_apart() -> None:
    assert pronounce("A") == ("EY",)
    assert pronounce("a") == ("AH",)
    assert targets("en", "bin A") == "B IH N | EY"
    assert spoken("en", "bin A").endswith("ˈA")


def test_a_word_that_two_sources_read_differently_is_refused() -> None:
    with pytest.raises(UnknownWordError, match="sepulveda"):
        pronounce("sepulveda")
    with pytest.raises(UnknownWordError, match="not in the CMU dictionary"):
        pronounce("zzyzzx")


def test_mandarin_targets_are_strict_pinyin() -> None:
    assert targets("zh", "启动三号泵") == "q i | d ong | s an | h ao | b eng"
    assert targets("zh", "女儿去云南") == "n v | er | q v | vn | n an"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_target_is_a_token(language: str) -> None:
    for text in islice(sentences(language, 9), 400):  # type: ignore[arg-type]
        try:
            phones = targets(language, text.words)
        except UnknownWordError:
            continue
        assert set(phones.replace("| ", "").split()) <= set(INDEX)


def test_heard_digits_sound_like_said_words() -> None:
    assert sound_distance("set speed to forty two", "Set speed to 42.") == 0
    assert sound_distance("one thousand two hundred fifty point five millimeters", "1,250.5mm.") == 0
    assert sound_distance("recipe one two five zero", "Recipe 1250.") == 0
    assert sound_distance("set speed to forty two", "Thank you.") > 0.5


def test_held_out_voices_are_never_drawn() -> None:
    rng = Random(1)
    drawn = {voice for _ in range(500) for voice in draw_mix("en", VOICES, rng).voices}
    drawn |= {voice for _ in range(500) for voice in draw_mix("zh", VOICES, rng).voices}
    assert drawn == set(VOICES) - HELD_OUT


def test_a_mix_is_read_back_as_written() -> None:
    for seed in range(50):
        mix = draw_mix("en", VOICES, Random(seed))
        assert Mix.parse(str(mix)) == mix
        assert sum(mix.weights) == pytest.approx(1)


def test_styles_mix_by_weight_and_held_out_voices_stay_out(tmp_path: Path) -> None:
    for name, value in (("af_heart", 1.0), ("am_adam", 3.0), ("af_bella", 9.0)):
        np.full((510, 1, 256), value, np.float32).tofile(tmp_path / f"{name}.bin")
    styles = load_styles(tmp_path)
    assert set(styles) == {"af_heart", "am_adam"}
    assert style(Mix(("af_heart", "am_adam"), (0.5, 0.5)), styles, 7) == pytest.approx(np.full(256, 2.0))


def test_jobs_are_read_back_and_never_repeat_what_is_avoided(tmp_path: Path) -> None:
    first, second = tmp_path / "a.tsv.gz", tmp_path / "b.tsv"
    planned = list(jobs.plan(mixed(1, 0.25), 1, 200, VOICES))
    assert jobs.write(planned, first) == 200
    assert list(jobs.read(first)) == planned
    jobs.write(jobs.plan(mixed(1, 0.25), 1, 200, VOICES, avoid=[first]), second)
    assert not {job.text for job in jobs.read(second)} & {job.text for job in planned}


def test_only_the_kinds_asked_for_are_drawn() -> None:
    assert {text.kind for text in islice(mixed(2, 0.2, ["chatter", "near"]), 60)} == {"chatter", "near"}


def test_grammar_sentences_know_what_they_mean_and_near_misses_mean_nothing() -> None:
    grammars = Path(__file__).parents[2] / "grammars"
    texts = list(islice(grammar_texts([grammars / "demo.yaml", grammars / "conveyor-zh.yaml"], 1, 0.5), 300))
    assert {text.kind for text in texts} == {"grammar/demo", "near/demo", "grammar/conveyor-zh"}
    assert all(bool(text.label) == text.kind.startswith("grammar/") for text in texts)
    meanings = {text.words: json.loads(text.label) for text in texts if text.kind == "grammar/demo"}
    assert {meaning["command"] for meaning in meanings.values()} >= {"lights", "set_speed", "select_recipe"}
    assert not [text for text in texts if text.kind == "near/demo" and text.words in meanings]


def test_a_jobs_file_that_asks_for_a_held_out_voice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "jobs.tsv"
    jobs.write([jobs.Job("1", "en", "command", "af_bella:1.00", 1.0, "stop", "stˈɑp", "S T AA P")], path)
    with pytest.raises(ValueError, match="af_bella, a voice that is held out"):
        list(jobs.read(path))
