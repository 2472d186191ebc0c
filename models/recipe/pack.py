"""Hours of spoken clips as long Opus recordings: clip after clip, as a microphone would hear them."""

import csv
import json
import tarfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import soundfile

from models.recipe import jobs as job_files
from models.recipe.jobs import SPEECH_HZ

PIECE_S = 1200.0
_GAP_S = (0.3, 1.5)
_LEVEL = 0.96  # soundfile's compression level that gives about 12 kbit/s
_PIECES_PER_TAR = 8  # about 14 MB


def pack(folder: Path, jobs: Path, out: Path, part: int, parts: int, workers: int) -> None:
    """Join the clips of `folder` (audio.npy, clips.jsonl) with pauses into pieces of 20 minutes, in tars.

    Args:
        folder: what `synthesize speak --backend torch` wrote.
        jobs: the jobs file that it came from, for kinds and labels.
        out: gets `pieces-PART-N.tar` and `index-PART.tsv` (file, start and end in s, kind, text, label).
        part: which part, from 0.
        parts: of how many, where not all can be carried at once.
        workers: processes that encode.
    """
    out.mkdir(parents=True, exist_ok=True)
    described = {job.name: job for job in job_files.read(jobs)}
    with (folder / "clips.jsonl").open(encoding="utf-8") as file:
        clips = [(clip["path"], round(clip["seconds"] * SPEECH_HZ)) for clip in map(json.loads, file)]
    starts = np.cumsum([0, *(samples for _, samples in clips)])
    order = list(range(len(clips)))
    Random(0).shuffle(order)
    layout = _lay_out(order[part::parts], [samples for _, samples in clips])
    names = [f"piece-{part}-{number:02d}.opus" for number in range(len(layout))]
    with ProcessPoolExecutor(workers) as pool:
        write = partial(_write_piece, folder / "audio.npy", starts.tolist(), out)
        list(pool.map(write, names, layout))
    numbered = iter(names)
    for number in range(0, len(names), _PIECES_PER_TAR):
        with tarfile.open(out / f"pieces-{part}-{number // _PIECES_PER_TAR}.tar", "w") as archive:
            for name in islice(numbered, _PIECES_PER_TAR):
                archive.add(out / name, name)
                (out / name).unlink()
    with (out / f"index-{part}.tsv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, delimiter="\t", lineterminator="\n")
        rows.writerow(["file", "start_s", "end_s", "kind", "text", "label"])
        for name, piece in zip(names, layout, strict=True):
            for clip, start in piece:
                path, samples = clips[clip]
                job = described[path]
                end = (start + samples) / SPEECH_HZ
                rows.writerow([name, f"{start / SPEECH_HZ:.2f}", f"{end:.2f}", job.kind, job.text, job.label])


def _lay_out(order: list[int], samples: list[int]) -> list[list[tuple[int, int]]]:
    """Per piece, its clips and the samples at which they start."""
    rng = Random(1)

    def gap() -> int:
        return round(rng.uniform(*_GAP_S) * SPEECH_HZ)

    pieces: list[list[tuple[int, int]]] = [[]]
    at = gap()
    for clip in order:
        if at > PIECE_S * SPEECH_HZ:
            pieces.append([])
            at = gap()
        pieces[-1].append((clip, at))
        at += samples[clip] + gap()
    return pieces


def _write_piece(audio: Path, starts: list[int], out: Path, name: str, piece: list[tuple[int, int]]) -> None:
    sound = np.load(audio, mmap_mode="r")
    last, at = piece[-1]
    samples = np.zeros(at + starts[last + 1] - starts[last] + SPEECH_HZ, np.int16)
    for clip, start in piece:
        samples[start : start + starts[clip + 1] - starts[clip]] = sound[starts[clip] : starts[clip + 1]]
    soundfile.write(out / name, samples, SPEECH_HZ, format="OGG", subtype="OPUS", compression_level=_LEVEL)
