"""What is spoken is named alike by both routes."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch", reason="torch is not installed (extra `train`)")
soundfile = pytest.importorskip("soundfile")
pytest.importorskip("onnx", reason="weights are read with onnx, of the extra `train`")

from models.recipe import kokoro_torch, synthesize  # noqa: E402
from models.recipe.corpus import find, read_index  # noqa: E402
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
