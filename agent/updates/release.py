"""What is released: signed documents that name files by content.

A release `model/{name}/{version}.json` or `grammar/{name}/{version}.json` is a target of the repository, and
so signed; the files that it lists lie in the repository as `objects/{sha256}`. Files that two releases share
are kept and sent once. A channel, `channel/{name}.json`, says what stations that follow it should run.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agent.acoustics.bundle import MANIFEST_FILE
from agent.acoustics.manifest import MAX_FILES, FileEntry, FileName
from agent.errors import UpdateError, first_fault
from agent.names import NAME, VERSION, ReleaseName, Version

GRAMMAR_FILE = "grammar.yaml"


class Kind(StrEnum):
    """What a release replaces."""

    MODEL = "model"
    GRAMMAR = "grammar"


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """What a release is called; written `model/press/1.2.0`."""

    kind: Kind
    name: str
    version: str

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Read `kind/name/version`.

        Raises:
            UpdateError: it is something else.
        """
        kind, _, rest = text.partition("/")
        name, _, version = rest.partition("/")
        if kind not in set(Kind) or not re.fullmatch(NAME, name) or not re.fullmatch(VERSION, version):
            raise UpdateError(f"{text!r} names no release; write it like model/press/1.2.0")
        return cls(Kind(kind), name, version)

    @property
    def line(self) -> str:
        """Name without version, within which versions are ordered."""
        return f"{self.kind}/{self.name}"

    @property
    def target(self) -> str:
        """Path of the release's document in the repository."""
        return f"{self}.json"

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}/{self.version}"


def parse_references(texts: Iterable[str]) -> tuple[Reference, ...]:
    """Read what should run together.

    Raises:
        UpdateError: one is no reference, or two are of one kind.
    """
    references = tuple(map(Reference.parse, texts))
    if len({reference.kind for reference in references}) < len(references):
        raise UpdateError(f"one release of each kind can run: not {' and '.join(map(str, references))}")
    return references


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    schema_version: Literal[1] = 1


class Limits(BaseModel):
    """What a model may cost on the station; a trial that costs more fails."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    latency_p95_s: Annotated[float, Field(gt=0, le=10)]
    """Of one run of the engine."""
    memory_bytes: Annotated[int, Field(gt=0)]
    """By which the process grows when the model is loaded beside the one at work."""


class Release(_Document):
    """A version of a model bundle or of a grammar."""

    kind: Kind
    name: ReleaseName
    version: Version
    min_agent_version: Version = "0.0.0"
    limits: Limits | None = None
    files: Annotated[dict[FileName, FileEntry], Field(min_length=1, max_length=MAX_FILES)]

    @model_validator(mode="after")
    def _has_its_main_file(self) -> Self:
        main = MANIFEST_FILE if self.kind is Kind.MODEL else GRAMMAR_FILE
        if main not in self.files:
            raise ValueError(f"files: a {self.kind} release needs {main}")
        folders = {str(folder) for name in self.files for folder in PurePosixPath(name).parents}
        if both := folders & self.files.keys():
            raise ValueError(f"files: {min(both)} is a file and a folder")
        return self

    @property
    def reference(self) -> Reference:
        """What it is called."""
        return Reference(self.kind, self.name, self.version)

    @property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum(entry.size_bytes for entry in self.files.values())

    def encode(self) -> bytes:
        """Write it as the repository keeps it; the SHA-256 of this is its digest."""
        document = self.model_dump(mode="json")
        return json.dumps(document, ensure_ascii=False, sort_keys=True, indent=1).encode() + b"\n"


class Channel(_Document):
    """What stations that follow a channel should run."""

    releases: Annotated[tuple[str, ...], Field(min_length=1, max_length=len(Kind))]
    """References, at most one of each kind."""

    @property
    def references(self) -> tuple[Reference, ...]:
        """Read them.

        Raises:
            UpdateError: one is no reference, or two are of one kind.
        """
        return parse_references(self.releases)

    @staticmethod
    def target(name: str) -> str:
        """Path of a channel's document in the repository."""
        return f"channel/{name}.json"


Document = TypeVar("Document", Release, Channel)


def decode(kind: type[Document], raw: bytes, where: str) -> Document:
    """Read a release or a channel whose signature was verified.

    Raises:
        UpdateError: it breaks the schema; names the field.
    """
    try:
        return kind.model_validate_json(raw)
    except ValidationError as error:
        raise UpdateError(f"{where}: {first_fault(error)}") from error


def decode_all(documents: Mapping[Kind, bytes], folder: str = "") -> dict[Kind, Release]:
    """Read releases that run together; `folder`, as in `decode`, is where they lie.

    Raises:
        UpdateError: as `decode`.
    """
    where = f"{folder}/" if folder else ""
    return {kind: decode(Release, raw, f"{where}{kind}.json") for kind, raw in documents.items()}


def digest_of(raw: bytes) -> str:
    """Return the SHA-256 by which content is known."""
    return hashlib.sha256(raw).hexdigest()


def slot_digest(documents: Mapping[Kind, bytes]) -> str:
    """Return the digest of a slot: of the digests of the release documents in it."""
    digests = {kind: digest_of(raw) for kind, raw in documents.items()}
    return digest_of(json.dumps(digests, sort_keys=True).encode())


def order(version: str) -> tuple[int, int, int]:
    """Return the three numbers by which versions are compared."""
    major, minor, patch = re.split(r"[.+-]", version)[:3]
    return int(major), int(minor), int(patch)
