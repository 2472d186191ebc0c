"""What is spoken is named alike by both routes, and goes on where it was stopped."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch", reason="torch is not installed (extra `train`)")
soundfile = pytest.importorskip("soundfile")
pytest.importorskip("onnx", reason="weights are read with onnx, of the extra `train`")

from models.recipe import kokoro_torch, synthesize  # noqa: E402
from models.recipe.corpus import find, read_index, unpack  # noqa: E402
from models.recipe.jobs import Job, write  # noqa: E402

JOBS = [
    Job("01-000000", "en", "command", "af_heart:1.00", 1.0, 'say "stop"', "", "S EY | S T AA P"),
    Job("01-000001", "zh", "number", "zf_xiaobei:1.00", 1.0, "一", "", "i"),
    Job("01-000002", "en", "command", "af_heart:1.00", 1.0, "go", "", "G OW"),
]


class Voice:
    """Says 1000 samples more for each letter of a text, and counts what it says."""

    said: list[str]

    def __init__(self, *_: object) -> None:
        self.said = Voice.said = []

    def speak(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, NDArray[np.int16]]]:
        for job in jobs:
            self.said.append(job.name)
            yield job, np.full(1000 * len(job.text), int(job.name[-1]) + 1, np.int16)


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kokoro_torch, "KokoroTorch", Voice)
    write(JOBS, tmp_path / "jobs.tsv")
    return tmp_path / "jobs.tsv"


def by_torch(jobs: Path, out: Path) -> None:
    synthesize.speak(jobs, out, out, backend=synthesize.Backend.TORCH)


def test_both_routes_name_their_sources_alike(jobs: Path, tmp_path: Path) -> None:
    by_torch(jobs, tmp_path / "torch")
    onnx = tmp_path / "synth/kokoro"
    onnx.mkdir(parents=True)
    rows = [synthesize.COLUMNS, *(synthesize._row(job, f"{job.name}.opus", 1.0) for job in JOBS)]
    (onnx / "manifest.tsv").write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    listed, spoken = find({"synth-kokoro": onnx}, "train"), read_index(tmp_path / "torch")
    assert [clip.source for clip in listed] == ["synth/en/command", "synth/zh/number", "synth/en/command"]
    assert [clip.source for clip in spoken] == [clip.source for clip in listed]
    assert [clip.text for clip in spoken] == [clip.text for clip in listed] == [job.text for job in JOBS]


def test_speech_of_a_stopped_run_is_kept(jobs: Path, tmp_path: Path) -> None:
    """As killed while the second line was written: its sound is there, of the line only a part."""
    whole, out = tmp_path / "whole", tmp_path / "stopped"
    by_torch(jobs, whole)
    out.mkdir()
    first, second, _ = (whole / "clips.jsonl").read_bytes().splitlines(keepends=True)
    (out / "clips.jsonl").write_bytes(first + second[: second.index("一".encode()) + 1])
    (out / "audio.i16").write_bytes((whole / "audio.i16").read_bytes()[: -2 * 500])
    by_torch(jobs, out)
    assert Voice.said == ["01-000001", "01-000002"]
    assert (out / "clips.jsonl").read_bytes() == (whole / "clips.jsonl").read_bytes()
    _, audio = unpack(out)
    assert [(len(clip), int(clip[0])) for clip in audio] == [(10_000, 1), (1000, 2), (2000, 3)]


def test_a_line_is_written_down_before_the_next_is_spoken(jobs: Path, tmp_path: Path) -> None:
    class Killed(Voice):
        def speak(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, NDArray[np.int16]]]:
            for number, spoken in enumerate(super().speak(jobs)):
                if number == 1:
                    lines.append((tmp_path / "out/clips.jsonl").read_text("utf-8").count("\n"))
                yield spoken

    lines: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kokoro_torch, "KokoroTorch", Killed)
        by_torch(jobs, tmp_path / "out")
    assert lines == [1]


def test_a_torn_row_of_the_manifest_is_spoken_again(
    jobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from models.recipe import kokoro_onnx

    class One:
        def __init__(self, *_: object) -> None:
            pass

        def speak(self, job: Job) -> NDArray[np.int16]:
            return np.zeros(1600, np.int16) + len(job.text)

    monkeypatch.setattr(kokoro_onnx, "KokoroOnnx", One)
    out = tmp_path / "out"
    synthesize.speak(jobs, out, out)
    manifest = out / "manifest.tsv"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:-5])
    synthesize.speak(jobs, out, out)
    assert manifest.read_bytes() == whole
