"""People with an accent: the corpus is read as it is published, and heard under grammars of what they say."""

from importlib.util import find_spec
from pathlib import Path
from shutil import copyfile

import pytest

pytest.importorskip("misaki", reason="sentences are planned with misaki, of the extra `train`")
# Not imported where tests are collected: it brings up PortAudio, which then sees no new device.
if find_spec("pyroomacoustics") is None:
    pytest.skip("rooms are simulated with pyroomacoustics, of the extra `train`", allow_module_level=True)

from models.recipe import accent
from models.recipe.accent import Spoken, recordings, sentences, strings
from models.recipe.places import BUNDLES

SOUND = BUNDLES / "voxline-en-zh/golden/04-stop-conveyor-two.opus"
TEXTS = {
    "train": {"000010011": "STOP CONVEYOR TWO", "000020012": "ONE TWO ZERO"},
    "test": {"000130001": "ONE TWO"},
}
YEARS = {"train": "0001 30\n0002 7\n", "test": "0013 40\n"}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for split, texts in TEXTS.items():
        (tmp_path / split).mkdir()
        (tmp_path / split / "spk2age").write_text(YEARS[split])
        (tmp_path / split / "text").write_text("".join(f"{name}\t{text}\n" for name, text in texts.items()))
        for name in texts:
            file = tmp_path / f"WAVE/SPEAKER{name[1:5]}/{name}.WAV"
            file.parent.mkdir(parents=True)
            copyfile(SOUND, file)
    return tmp_path


def test_the_corpus_is_read_as_it_is_published(corpus: Path) -> None:
    adult, child, other = listed = recordings(corpus)
    assert adult == Spoken("WAVE/SPEAKER0001/000010011.WAV", "0001", 30, "stop conveyor two")
    assert strings(listed) == [child]
    assert sentences(listed) == [adult]  # of each ten people the first is kept apart
    assert other.years == 40


def test_a_recording_that_is_missing_is_named(corpus: Path) -> None:
    (corpus / "WAVE/SPEAKER0013/000130001.WAV").unlink()
    with pytest.raises(KeyError, match="000130001"):
        recordings(corpus)


def test_it_is_heard_under_a_grammar_of_what_is_said(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(accent, "CACHE", corpus / "cache")
    accent.main(corpus, corpus / "figures.json")
    *_, adults, children = capsys.readouterr().out.splitlines()
    assert adults.startswith("| adults, one of 1 sentences | 1 | 1 / 0 (0) |")
    assert children.startswith("| children, strings of digits | 1 | 0 / ")
    assert children.endswith("| 0 / 0 (0) |")
