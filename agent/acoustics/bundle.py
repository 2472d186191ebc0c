"""Model bundles on disk: nothing of a bundle is used before all of it is verified."""

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from agent.acoustics.manifest import (
    CANARY_LOGITS_FILE,
    CANARY_SAMPLES_FILE,
    MAX_FILE_BYTES,
    MAX_FILES,
    ONNX_FILE,
    Manifest,
)
from agent.errors import BundleError, first_fault

MANIFEST_FILE = "manifest.json"
MAX_MANIFEST_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Canary:
    """A window whose answer is known: what an engine must give back to be trusted."""

    samples: NDArray[np.int16]
    """Shape [window_samples]."""
    logits: NDArray[np.float32]
    """Shape [frames, tokens]: the answer of `model.onnx`."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified model bundle."""

    folder: Path
    manifest: Manifest
    digest: str
    """SHA-256 of the manifest, and through it of everything: what the bundle is known by."""

    @property
    def onnx(self) -> Path:
        """Path of the model for ONNX Runtime."""
        return self.folder / ONNX_FILE

    def rknn(self, soc: str) -> Path | None:
        """Return the path of the model for a system on chip such as `rk3568`, if there is one."""
        name = self.manifest.rknn_file(soc)
        return None if name is None else self.folder / name

    def canary(self) -> Canary | None:
        """Return the known answer, None if the bundle carries none.

        Raises:
            BundleError: the answer holds values that are not finite.
        """
        m = self.manifest
        if not {CANARY_SAMPLES_FILE, CANARY_LOGITS_FILE} <= m.files.keys():
            return None
        samples = np.fromfile(self.folder / CANARY_SAMPLES_FILE, "<i2")
        logits = np.fromfile(self.folder / CANARY_LOGITS_FILE, "<f4").reshape(m.frames, len(m.tokens))
        if not np.isfinite(logits).all():
            raise BundleError(f"{self.folder / CANARY_LOGITS_FILE}: holds values that are not finite")
        return Canary(samples, logits)


def load_bundle(folder: Path) -> Bundle:
    """Read the manifest and verify every file against it.

    Raises:
        BundleError: anything is missing, damaged, oversize, not listed, a link, or contradicts itself; the
            message names the file and the field.
    """
    path = folder / MANIFEST_FILE
    if not path.exists():
        raise BundleError(f"{folder}: holds no {MANIFEST_FILE}; give the folder of a bundle")
    raw = _read_regular(path, MAX_MANIFEST_BYTES)
    manifest = _parse(path, raw)
    found = set(_walk(folder))
    if missing := sorted(manifest.files.keys() - found):
        raise BundleError(f"{folder / missing[0]}: missing, though {path} lists it under files")
    if unknown := sorted(found - manifest.files.keys() - {MANIFEST_FILE}):
        raise BundleError(f"{folder / unknown[0]}: not listed in {path} under files; remove it")
    for name, entry in manifest.files.items():
        size, digest = _measure(folder / name, entry.size_bytes)
        if size != entry.size_bytes:
            raise BundleError(f"{folder / name}: damaged: has {size} bytes, files says {entry.size_bytes}")
        if digest != entry.sha256:
            raise BundleError(f"{folder / name}: damaged: SHA-256 is {digest}, files says {entry.sha256}")
    return Bundle(folder, manifest, hashlib.sha256(raw).hexdigest())


def seal_bundle(folder: Path, manifest: Mapping[str, Any]) -> Bundle:
    """Write `manifest.json` for the files that lie in `folder`, and load the result.

    Args:
        folder: holds everything but the manifest, which is replaced if it is there.
        manifest: all fields of `Manifest`, JSON values, without `files`.

    Raises:
        BundleError: as `load_bundle`.
    """
    files = {}
    for name in sorted(set(_walk(folder)) - {MANIFEST_FILE}):
        size, digest = _measure(folder / name, MAX_FILE_BYTES)
        files[name] = {"sha256": digest, "size_bytes": size}
    path = folder / MANIFEST_FILE
    raw = json.dumps({**manifest, "files": files}, ensure_ascii=False, indent=1).encode() + b"\n"
    _parse(path, raw)
    path.write_bytes(raw)
    return load_bundle(folder)


def reseal_bundle(folder: Path) -> Bundle:
    """Take over what has changed in a bundle's folder: write new sizes and hashes into its manifest.

    Raises:
        BundleError: as `load_bundle`.
    """
    path = folder / MANIFEST_FILE
    raw = _read_regular(path, MAX_MANIFEST_BYTES)
    try:
        fields = json.loads(raw)
        del fields["files"]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise BundleError(f"{path}: is no manifest: {error}") from error
    return seal_bundle(folder, fields)


def _parse(path: Path, raw: bytes) -> Manifest:
    try:
        return Manifest.model_validate_json(raw)
    except ValidationError as error:
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise BundleError(f"{path}: {first_fault(error)}{more}") from error


def _walk(folder: Path) -> Iterator[str]:
    """Yield the relative names of all files; a link or anything else that is no file is refused."""
    pending, count = [folder], 0
    while pending:
        here = pending.pop()
        try:
            entries = list(os.scandir(here))
        except OSError as error:
            raise BundleError(f"{here}: cannot be read: {error.strerror}") from error
        for entry in entries:
            count += 1
            if count > 2 * MAX_FILES:
                raise BundleError(f"{folder}: holds more than {MAX_FILES} files")
            if entry.is_dir(follow_symlinks=False):
                pending.append(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                yield Path(entry.path).relative_to(folder).as_posix()
            else:
                raise BundleError(f"{entry.path}: is a link or a device; a bundle holds files only")


def _open_regular(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BundleError(f"{path}: is no regular file")
    return descriptor


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file; what its disk fails to give back is damaged like what it gives back wrong."""
    with open(_open_regular(path), "rb") as file:
        try:
            yield file
        except OSError as error:
            raise BundleError(f"{path}: cannot be read: {error.strerror}") from error


def _read_regular(path: Path, limit: int) -> bytes:
    with _reading(path) as file:
        raw = file.read(limit + 1)
    if len(raw) > limit:
        raise BundleError(f"{path}: larger than {limit} bytes")
    return raw


def _measure(path: Path, limit: int) -> tuple[int, str]:
    """Return size and SHA-256, reading at most one byte more than `limit`."""
    digest, size = hashlib.sha256(), 0
    with _reading(path) as file:
        while block := file.read(min(2**20, limit + 1 - size)):
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()
