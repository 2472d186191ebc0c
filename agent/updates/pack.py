"""Makes releases out of what people have: a model bundle's folder, a grammar's file."""

import hashlib
import re
from pathlib import Path

from pydantic import ValidationError

from agent.acoustics.bundle import MANIFEST_FILE, load_bundle
from agent.acoustics.manifest import FileEntry
from agent.errors import UpdateError, first_fault
from agent.evaluation.golden import FOLDER
from agent.grammar import load_grammar
from agent.grammar.fault import refuse_errors
from agent.grammar.lint import check
from agent.names import VERSION
from agent.updates.release import GRAMMAR_FILE, Kind, Limits, Release

Packed = tuple[Release, dict[str, Path]]
"""A release, and where each of its files is."""


def pack_model(folder: Path, min_agent_version: str = "0.0.0", limits: Limits | None = None) -> Packed:
    """Make a release of a model bundle; name and version are the manifest's.

    Raises:
        BundleError: the bundle is damaged.
        UpdateError: `min_agent_version` is no version.
    """
    bundle = load_bundle(folder)
    files = {name: folder / name for name in (MANIFEST_FILE, *bundle.manifest.files)}
    name, version = bundle.manifest.name, bundle.manifest.version
    return _pack(folder, Kind.MODEL, name, version, files, min_agent_version, limits)


def pack_grammar(file: Path, version: str, min_agent_version: str = "0.0.0") -> Packed:
    """Make a release of a grammar, with the golden utterances in the folder `golden` beside it, if any.

    Raises:
        FaultyGrammarError: `voxline grammar check` names an error in it.
        GrammarError: it cannot be read.
        UpdateError: its name, the version or `min_agent_version` cannot be those of a release.
    """
    files = {GRAMMAR_FILE: file}
    golden = file.parent / FOLDER
    if golden.is_dir():
        files |= {f"{FOLDER}/{path.name}": path for path in sorted(golden.iterdir()) if path.is_file()}
    grammar = load_grammar(file)
    refuse_errors(check(grammar))
    if not re.fullmatch(VERSION, version):
        raise UpdateError(f"{file}: a grammar is released under a version such as --version 1.2.0")
    return _pack(file, Kind.GRAMMAR, grammar.name, version, files, min_agent_version)


def _pack(
    source: Path,
    kind: Kind,
    name: str,
    version: str,
    files: dict[str, Path],
    min_agent_version: str,
    limits: Limits | None = None,
) -> Packed:
    try:
        release = Release(
            kind=kind,
            name=name,
            version=version,
            min_agent_version=min_agent_version,
            limits=limits,
            files={name: _entry(path) for name, path in files.items()},
        )
    except ValidationError as error:
        raise UpdateError(
            f"{source}: cannot be released as {name} {version}: {first_fault(error)}"
        ) from error
    return release, files


def _entry(path: Path) -> FileEntry:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileEntry(sha256=digest, size_bytes=path.stat().st_size)
