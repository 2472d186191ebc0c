"""Hours of sound that hold no command, for counting false accepts: chatter, spliced speech, babble, machines.

Recordings of ten minutes, half of them in a room, most over machine noise; `index.tsv` says what is spoken
when. Sentences come from a seed that no training uses, and those who speak them (flite, espeak-ng) were never
trained on. Spliced speech is cut from readings among the training speech: known voices, new nonsense.
"""

import csv
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from agent.audio.file import read_audio
from agent.audio.mixing import mix
from agent.audio.source import SAMPLE_RATE_HZ
from agent.durable import replacing
from models.recipe.corpus import rows
from models.recipe.noise import FAMILIES, synthesize
from models.recipe.rooms import bank
from models.recipe.texts import Text, mixed

PIECE_S = 600.0
HOURS = {"flite": 8.0, "espeak": 4.0, "spliced": 5.0, "babble": 2.0, "machines": 2.0}
"""How much of each there is; 21 h in all."""
KINDS = ("chatter", "sentence", "salad")
SEED = 1000
_FLITE = ("slt", "rms", "awb", "kal16")
_ESPEAK = [f"{accent}+{variant}" for accent in ("en-us", "en-gb", "en-gb-scotland", "en-029")
           for variant in ("m1", "m3", "m7", "f1", "f3", "f5", "croak", "klatt2")]  # fmt: skip

Sound = NDArray[np.int16]


@dataclass(frozen=True)
class Said:
    """Something that was said in a recording."""

    start_s: float
    end_s: float
    text: str


def make(speech: Path, out: Path, hours: float, first: int) -> Iterator[Path]:
    """Write `hours` of recordings (FLAC, kinds in the shares of `HOURS`) and an index; what exists is kept.

    Args:
        speech: folder of real speech.
        out: where they go.
        hours: of all kinds together.
        first: number of the first of each kind; other numbers are other talk.

    Yields:
        Each new recording.

    Raises:
        FileNotFoundError: flite or espeak-ng is not installed.
    """
    for program in ("flite", "espeak-ng"):
        if shutil.which(program) is None:
            raise FileNotFoundError(f"{program} is not installed: apt install {program}")
    out.mkdir(parents=True, exist_ok=True)
    rooms = bank(speech / "rir", 0)
    readings = _readings(speech)
    for kind, number in _plan(hours, first):
        path = out / f"{kind}-{number:03d}.flac"
        if path.exists():
            continue
        rng = Random(f"{kind}-{number}")
        sound, said = _piece(kind, number, rng, readings)
        with replacing(path) as file, (out / "index.tsv").open("a", encoding="utf-8", newline="") as index:
            soundfile.write(file, _scene(sound, kind, number, rng, rooms), SAMPLE_RATE_HZ, format="FLAC")
            rows = csv.writer(index, delimiter="\t", lineterminator="\n")
            rows.writerows((path.name, f"{one.start_s:.2f}", f"{one.end_s:.2f}", one.text) for one in said)
        yield path


def _plan(hours: float, first: int) -> list[tuple[str, int]]:
    """Kinds and numbers of all recordings, the kinds mixed, so that a part of them is a fair sample."""
    pieces = hours * 3600 / PIECE_S / sum(HOURS.values())
    counts = {kind: round(share * pieces) for kind, share in HOURS.items()}
    numbered = [(kind, number) for kind, count in counts.items() for number in range(count)]
    mixed = sorted(numbered, key=lambda one: (one[1] + 0.5) / counts[one[0]])
    return [(kind, first + number) for kind, number in mixed]


def _piece(kind: str, number: int, rng: Random, readings: list[Path]) -> tuple[Sound, list[Said]]:
    """Ten minutes of one kind, in a dead room, and what is said in it."""
    if kind == "machines":
        return np.zeros(round(PIECE_S * SAMPLE_RATE_HZ), np.int16), []
    if kind == "babble":
        voices = [_joined(_splices(readings, rng), rng)[0].astype(np.int32) for _ in range(rng.randint(3, 7))]
        return (np.sum(voices, axis=0) / len(voices) ** 0.5).clip(-32768, 32767).astype(np.int16), []
    if kind == "spliced":
        return _joined(_splices(readings, rng), rng)
    texts = mixed(SEED + number, 0.2 if kind == "espeak" else 0.0, KINDS)
    return _joined(_spoken(texts, _by_flite if kind == "flite" else _by_espeak, rng), rng)


def _joined(parts: Iterator[tuple[Sound, str]], rng: Random) -> tuple[Sound, list[Said]]:
    """Parts one after the other, with pauses, until ten minutes are full."""
    sound = np.zeros(round(PIECE_S * SAMPLE_RATE_HZ), np.int16)
    said: list[Said] = []
    at = 0
    for part, text in parts:
        at += round(rng.uniform(0.1, 1.5) * SAMPLE_RATE_HZ)
        if at + len(part) > len(sound):
            break
        sound[at : at + len(part)] = part
        if text:
            said.append(Said(at / SAMPLE_RATE_HZ, (at + len(part)) / SAMPLE_RATE_HZ, text))
        at += len(part)
    return sound, said


def _readings(speech: Path) -> list[Path]:
    """Readings among the training speech: no spelling, no digits, no commands."""
    paths = [row["path"] for row in rows(speech / "manifest.tsv")]
    return [speech / path for path in paths if path.startswith(("train/lj/", "train/libri/"))]


@cache
def _reading(path: Path) -> Sound:
    return read_audio(path)


def _splices(readings: list[Path], rng: Random) -> Iterator[tuple[Sound, str]]:
    """Stretches of 0.3 to 2 s of ever other readings, faded in and out, at changed speed."""
    while True:
        whole = _reading(rng.choice(readings))
        length = round(rng.uniform(0.3, 2.0) * SAMPLE_RATE_HZ)
        start = rng.randrange(max(1, len(whole) - length))
        part = whole[start : start + length].astype(np.float32)
        speed = rng.uniform(0.85, 1.2)
        part = np.interp(np.arange(0, len(part), speed), np.arange(len(part)), part)
        fade = np.minimum(
            1, np.minimum(np.arange(len(part)), np.arange(len(part))[::-1]) / (0.01 * SAMPLE_RATE_HZ)
        )
        yield (part * fade).astype(np.int16), ""


def _spoken(
    texts: Iterator[Text], say: Callable[[str, str, Random], Sound], rng: Random
) -> Iterator[tuple[Sound, str]]:
    """A few sentences at a time by one speaker, as running speech."""
    for first in texts:
        several = [first, *islice(texts, rng.randint(0, 3))]
        several = [text for text in several if text.language == first.language]
        joint = "。" if first.language == "zh" else ". "
        text = joint.join(one.words for one in several)
        yield say(first.language, text, rng), text


def _by_flite(_language: str, text: str, rng: Random) -> Sound:
    stretch = rng.uniform(0.8, 1.25)
    return flite(text, rng.choice(_FLITE), stretch)


def _by_espeak(language: str, text: str, rng: Random) -> Sound:
    return espeak(text, "cmn" if language == "zh" else rng.choice(_ESPEAK), rng)


def flite(text: str, voice: str, stretch: float) -> Sound:
    """Speak English, `stretch` times as slow as the voice would."""
    return _run(["flite", "-voice", voice, "--setf", f"duration_stretch={stretch:.2f}", "-t", text, "-o"])


def espeak(text: str, voice: str, rng: Random) -> Sound:
    """Speak at any speed and pitch."""
    speed, pitch = str(rng.randint(130, 200)), str(rng.randint(20, 80))
    return _run(["espeak-ng", "-v", voice, "-s", speed, "-p", pitch, text, "-w"])


def _run(command: list[str]) -> Sound:
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        subprocess.run([*command, file.name], check=True, stdin=subprocess.DEVNULL)  # noqa: S603
        return read_audio(Path(file.name))


def _scene(sound: Sound, kind: str, number: int, rng: Random, rooms: NDArray[np.float16]) -> Sound:
    """Put a piece into a room, over machines, and far from or near the microphone."""
    dry = sound.astype(np.float32)
    if rng.random() < 0.5:
        dry = fftconvolve(dry, rng.choice(list(rooms)).astype(np.float32))[: len(dry)]
        dry *= np.abs(sound).max() / max(1.0, float(np.abs(dry).max()))
    sound = dry.clip(-32768, 32767).astype(np.int16)
    noise = synthesize(rng.choice(sorted(FAMILIES)), SEED + number, 60.0)
    if kind == "machines":
        sound = np.resize(noise, len(sound))
    elif rng.random() < 0.7:
        sound = mix(sound, noise, rng.uniform(0, 25))
    gain = 10 ** (rng.uniform(-20, 0) / 20)
    hiss = np.random.default_rng(number).normal(0, 3, len(sound))  # the quietest microphone there is
    return (sound * gain + hiss).clip(-32768, 32767).astype(np.int16)
