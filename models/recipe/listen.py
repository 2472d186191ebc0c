"""A second opinion on synthetic English: Moonshine tiny listens, and what it mishears is dropped.

Heard and intended text are compared by their sounds, so that "3" and "three" are the same. The listener
guesses words from context, so single odd sounds are forgiven; garbled or cut speech is not.
"""

import csv
from pathlib import Path

import moonshine_voice
import numpy as np
import soundfile
from moonshine_voice.moonshine_api import ModelArch
from moonshine_voice.transcriber import Transcriber

from models.recipe.corpus import rows
from models.recipe.jobs import SPEECH_HZ
from models.recipe.phones import sound_distance

WORST = 0.34
"""Largest share of sounds (0 to 1) that may be heard wrong."""


class Listener:
    """Moonshine tiny, English, whole clips at a time."""

    def __init__(self) -> None:
        model = Path(moonshine_voice.__file__).parent / "assets" / "tiny-en"
        # The clip is all speech: no voice detector may cut it.
        self._transcriber = Transcriber(model, ModelArch.TINY, options={"vad_threshold": "0.0"})

    def hear(self, audio: np.ndarray) -> str:
        """Transcribe int16 samples at 16 kHz."""
        silence = np.zeros(SPEECH_HZ // 4, np.float32)
        padded = np.concatenate([silence, audio.astype(np.float32) / 32768, silence])
        lines = self._transcriber.transcribe_without_streaming(padded.tolist(), SPEECH_HZ).lines
        return " ".join(line.text for line in lines)


def listen(folder: Path) -> tuple[int, int]:
    """Judge the English clips of `folder/manifest.tsv` that `heard.tsv` does not yet name.

    Writes `heard.tsv` (path, heard, share of sounds heard wrong) as it goes and, at the end, `kept.tsv`: the
    manifest without what was misheard. Returns how many clips were kept and how many dropped.
    """
    listed = list(rows(folder / "manifest.tsv"))
    heard_file = folder / "heard.tsv"
    heard_file.touch()
    wrong: dict[str, float] = {}
    for line in heard_file.read_text(encoding="utf-8").splitlines():
        path, _, share = line.split("\t")
        wrong[path] = float(share)
    listener = Listener()
    with heard_file.open("a", encoding="utf-8") as file:
        for row in listed:
            if row["language"] != "en" or row["path"] in wrong:
                continue
            text = listener.hear(soundfile.read(folder / row["path"], dtype="int16")[0])
            wrong[row["path"]] = sound_distance(row["text"], text)
            file.write(f"{row['path']}\t{text}\t{wrong[row['path']]:.2f}\n")
            file.flush()
    kept = [row for row in listed if wrong.get(row["path"], 0.0) <= WORST]
    with (folder / "kept.tsv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(
            file, list(listed[0]), delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE
        )
        writer.writeheader()
        writer.writerows(kept)
    return len(kept), len(listed) - len(kept)
