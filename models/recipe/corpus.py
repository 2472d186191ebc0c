"""Speech for training and tuning: find it, write its sounds down, decode it into one array.

A corpus is a folder with `clips.jsonl` (one Clip a line) and, once packed, `audio.npy` (flat int16 at
16 kHz, all clips one after the other, in the order of the lines, each as long as its line says).
"""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.audio.file import read_audio
from agent.audio.source import SAMPLE_RATE_HZ
from agent.durable import replacing, write_file
from models.recipe.tokens import INDEX

MAX_SECONDS = 15.5
"""Longer clips do not fit the scored part of a training stream."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording and what is said in it."""

    path: str
    """Relative to the folder that holds its manifest."""
    root: str
    """Name of the root that `path` is relative to."""
    source: str
    """Where it comes from: `train/an4`, or `synth/en/command` of what was synthesized; shares of training go
    by it."""
    language: str
    speaker: str
    seconds: float
    text: str
    """What is said, as it is written; of dev/coffee its label, JSON; of noise its ESC-10 class or family."""
    words: list[list[list[int]]]
    """Per word, its pronunciations as token indices; empty where there is no text."""


def rows(manifest: Path) -> Iterator[dict[str, str]]:
    """Yield what a `manifest.tsv` says of each recording, by column."""
    with manifest.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)


def synthetic_source(language: str, kind: str) -> str:
    """Name the source of synthetic speech, alike whatever spoke it."""
    return f"synth/{language}/{kind}"


def find(roots: dict[str, Path], split: str) -> list[Clip]:
    """List the clips of a split under each root's `manifest.tsv`, without speech of unknown sounds.

    A manifest may give the sounds itself, in a column `phones`.
    """
    from models.recipe.sounds import pronunciations  # needs dictionaries that a training machine may lack

    clips = []
    for root, folder in roots.items():
        for row in rows(folder / "manifest.tsv"):
            if row["split"] != split or (split == "train" and float(row["seconds"]) > MAX_SECONDS):
                continue
            if row.get("phones"):
                words = [[[INDEX[phone] for phone in row["phones"].split()]]]
            elif row["labels"] in ("verbatim", "machine", "synthetic"):
                words = pronunciations(row["text"], row["language"])
            else:
                words = []
            if split != "train" or words:
                source = (
                    "/".join(Path(row["path"]).parts[:2])
                    if root == "speech"
                    else synthetic_source(row["language"], row["kind"])
                )
                clips.append(
                    Clip(
                        row["path"],
                        root,
                        source,
                        row["language"],
                        row["speaker"],
                        float(row["seconds"]),
                        row["text"],
                        words,
                    )
                )
    return clips


def write_index(clips: Iterable[Clip], folder: Path) -> None:
    """Write `clips.jsonl` in a folder, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(asdict(clip), ensure_ascii=False) + "\n" for clip in clips)
    write_file(folder / "clips.jsonl", "".join(lines).encode())


def read_index(folder: Path) -> list[Clip]:
    """Read `clips.jsonl` from a folder."""
    with (folder / "clips.jsonl").open(encoding="utf-8") as lines:
        return [Clip(**json.loads(line)) for line in lines]


def save_array(array: NDArray[Any], path: Path) -> None:
    """Write an array of any shape as .npy, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        np.save(file, array)


def write_packed(clips: Iterable[Clip], audio: Sequence[NDArray[np.int16]], folder: Path) -> None:
    """Write a packed corpus: the sound of each clip, int16 [n], and the index with its exact length.

    The index comes last, so that a stop leaves one that does not fit, which `unpack` says.
    """
    save_array(np.concatenate(audio), folder / "audio.npy")
    write_index(
        [replace(c, seconds=len(a) / SAMPLE_RATE_HZ) for c, a in zip(clips, audio, strict=True)], folder
    )


def pack(folder: Path, roots: dict[str, Path]) -> None:
    """Decode all clips of an index into `audio.npy`, and write their exact lengths into the index."""
    clips = read_index(folder)
    with ThreadPoolExecutor() as pool:
        audio = list(pool.map(lambda clip: read_audio(roots[clip.root] / clip.path), clips))
    write_packed(clips, audio, folder)


def unpack(folder: Path) -> tuple[list[Clip], list[NDArray[np.int16]]]:
    """Read a packed corpus: its clips and the samples of each, int16 [n].

    Raises:
        ValueError: the sound was packed for another index.
    """
    clips, audio = read_index(folder), np.load(folder / "audio.npy", mmap_mode="r")
    ends = np.cumsum([round(clip.seconds * SAMPLE_RATE_HZ) for clip in clips])
    if len(audio) != ends[-1]:
        raise ValueError(
            f"{folder / 'audio.npy'}: {len(audio)} samples, but its index has {ends[-1]}: pack it again, "
            "or `speak` it to the end"
        )
    return clips, np.split(audio, ends[:-1])
