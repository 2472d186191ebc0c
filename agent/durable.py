"""Changes to files that survive a power cut: each is seen whole afterwards, or not at all.

A file that is written and renamed without fsync is empty after a power cut; a rename without fsync of the
folder may not have happened. All that must outlast a cut goes through these few functions, but for what is
appended to the audit log.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PARTIAL_SUFFIX = ".partial"
"""What a cut may leave behind; nothing with this suffix is ever read as a result."""


def is_lost(error: OSError) -> bool:
    """Whether the disk has lost what was written; else it may be whole, and is only refused now."""
    return error.errno == errno.EIO


def write_file(path: Path, content: bytes) -> None:
    """Replace the file at `path`.

    Raises:
        OSError: the old content stands.
    """
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open what replaces the file at `path` once all of it is written; if that fails, the old one stands."""
    partial = path.with_name(path.name + PARTIAL_SUFFIX)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    with open(descriptor, "wb") as file:  # noqa: PTH123 (a descriptor, not a path)
        yield file
        file.flush()
        os.fsync(descriptor)
    move(partial, path)


def write_link(link: Path, target: str) -> None:
    """Make `link` point to `target`, a name relative to the link's folder."""
    partial = link.with_name(link.name + PARTIAL_SUFFIX)
    partial.unlink(missing_ok=True)
    partial.symlink_to(target)
    move(partial, link)


def move(source: Path, target: Path) -> None:
    """Rename over `target`; what moves must be synced already."""
    source.rename(target)
    sync(target.parent)


def remove(path: Path) -> None:
    """Remove a file or link that may not be there."""
    path.unlink(missing_ok=True)
    sync(path.parent)


def thin_out(path: Path, count: int) -> None:
    """Keep `path` and what changed last beside it, `count` in all: what can be had again must not pile up."""
    others = [other for other in path.parent.iterdir() if other != path]
    others.sort(key=lambda other: other.stat().st_mtime, reverse=True)
    for other in others[count - 1 :]:
        other.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, and see that they stay."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file or the names in a folder are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Do so with a folder and all that lies in it."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if not path.is_symlink():
            sync(path)
    sync(folder)
