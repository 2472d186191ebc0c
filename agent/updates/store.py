"""Bundles on disk, by content.

```
objects/{sha256}     every file once; never changed
partial/{sha256}     what has arrived of a file so far
slots/{digest}/      a set that runs together: model/, grammar/ (hard links to objects) and their releases
current -> slots/..  the slot in use; without it the station runs what its settings name
```
A slot is built aside, synced and renamed, so it is whole or not there. What is in use changes by one rename.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from agent import durable
from agent.acoustics.manifest import FileEntry
from agent.errors import UpdateError
from agent.updates.release import Kind, Release, decode_all, slot_digest

SLOTS_KEPT = 3
"""With the one in use; fewer where space is short, but never without the one before it."""


class Store:
    """The bundles of one station. One process at a time changes it.

    Args:
        folder: made where it is missing.
        reserve_bytes: of the disk that updates leave free.
    """

    def __init__(self, folder: Path, reserve_bytes: int) -> None:
        self.folder = folder
        self._reserve_bytes = reserve_bytes
        self._objects, self._partial, self._slots = (folder / n for n in ("objects", "partial", "slots"))
        for path in (self._objects, self._partial, self._slots):
            durable.make_folder(path)
        self._current = folder / "current"

    def active(self) -> str | None:
        """Return the digest of the slot in use, None for what the settings name."""
        try:
            return self._current.readlink().name
        except FileNotFoundError:
            return None

    def activate(self, slot: str | None) -> None:
        """Take a slot into use, None for what the settings name: one rename or unlink.

        Raises:
            UpdateError: as `documents`.
        """
        if slot is None:
            durable.remove(self._current)
            return
        self.documents(slot)
        durable.write_link(self._current, f"{self._slots.name}/{slot}")

    def part(self, slot: str | None, kind: Kind) -> Path | None:
        """Return the folder of a slot's model or grammar, None where the settings name it.

        Raises:
            UpdateError: as `documents`.
        """
        if slot is None or kind not in self.documents(slot):
            return None
        return self._slots / slot / kind  # if it is gone, whoever loads it should fail

    def documents(self, slot: str | None) -> dict[Kind, bytes]:
        """Return the release documents of a slot.

        Raises:
            UpdateError: there is no such slot, or they are not those it was built of: a part that a disk has
                lost must not pass for one that the settings name.
        """
        if slot is None:
            return {}
        folder = self._slots / slot
        paths = {kind: folder / f"{kind}.json" for kind in Kind}
        try:
            documents = {kind: path.read_bytes() for kind, path in paths.items() if path.exists()}
        except OSError as error:
            raise UpdateError(f"{error.filename}: {error.strerror}") from error
        if slot_digest(documents) != slot:
            fault = "its release documents are damaged" if folder.is_dir() else "there is no such slot"
            raise UpdateError(f"{folder}: {fault}")
        decode_all(documents, slot)  # a newer agent may have installed it
        return documents

    def missing(self, releases: Iterable[Release]) -> list[FileEntry]:
        """Return the files that are not here yet, each once."""
        entries = {entry.sha256: entry for release in releases for entry in release.files.values()}
        return [entry for entry in entries.values() if not (self._objects / entry.sha256).exists()]

    def partial(self, sha256: str) -> Path:
        """Return where a file that is under way grows; it may have begun already."""
        return self._partial / sha256

    def require_space(self, releases: Iterable[Release], keep: Iterable[str | None]) -> None:
        """See before the first byte that the missing files fit, and old slots make room if they must.

        Args:
            releases: what is to be fetched.
            keep: slots that stay whatever happens.

        Raises:
            UpdateError: they do not fit; says how much is missing.
        """
        missing = self.missing(releases := list(releases))
        to_come = sum(max(0, entry.size_bytes - self._arrived(entry.sha256)) for entry in missing)
        needed = to_come + self._reserve_bytes
        if self._free_bytes() < needed:
            self.prune(keep, count=0, wanted=releases)
        if (lacking := needed - self._free_bytes()) > 0:
            raise UpdateError(f"{self.folder}: {lacking} bytes short of disk space, reserve included")

    def accept(self, entry: FileEntry) -> None:
        """Take a file that has arrived whole among the objects.

        Raises:
            UpdateError: it is not the file that it should be; what arrived is thrown away.
        """
        path = self._partial / entry.sha256
        if not _is(path, entry):
            durable.remove(path)
            raise UpdateError(f"{entry.sha256}: another file arrived under this name; thrown away")
        path.chmod(0o444)
        durable.sync(path)
        durable.move(path, self._objects / entry.sha256)

    def build(self, documents: Mapping[Kind, bytes]) -> str:
        """Make the slot of these release documents, whose files are all here; return its digest.

        Every file is read and compared once more: the disk is not believed.

        Raises:
            UpdateError: a file is missing or damaged; a damaged one is removed, to be fetched again.
        """
        slot = slot_digest(documents)
        folder, building = self._slots / slot, self._slots / (slot + durable.PARTIAL_SUFFIX)
        files = {
            f"{kind}/{name}": entry
            for kind, release in decode_all(documents).items()
            for name, entry in release.files.items()
        }
        if folder.is_dir():
            if self._is_whole(slot, files):
                return slot
            self._discard(folder)
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir()
        for kind, raw in documents.items():
            (building / f"{kind}.json").write_bytes(raw)
        for name, entry in files.items():
            source, path = self._objects / entry.sha256, building / name
            if not _is(source, entry):
                durable.remove(source)
                raise UpdateError(f"{source}: missing or damaged on this disk; it will be fetched again")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.hardlink_to(source)
        durable.sync_tree(building)
        durable.move(building, folder)
        return slot

    def prune(
        self, keep: Iterable[str | None], count: int = SLOTS_KEPT, wanted: Iterable[Release] = ()
    ) -> None:
        """Remove what nothing needs.

        Args:
            keep: slots that stay; the one in use stays anyway.
            count: slots to leave in all, the newest.
            wanted: releases whose files stay, as far as they have arrived.
        """
        kept = {*keep, self.active()} - {None}
        for path in sorted(self._slots.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True):
            if path.suffix != durable.PARTIAL_SUFFIX and len(kept) < count:
                kept.add(path.name)
            if path.name not in kept:
                self._discard(path)
        needed = {entry.sha256 for release in wanted for entry in release.files.values()}
        for path in [*self._objects.iterdir(), *self._partial.iterdir()]:
            held_by_slot = path.stat().st_nlink > 1
            if not held_by_slot and path.name not in needed:
                path.unlink()

    def _is_whole(self, slot: str, files: Mapping[str, FileEntry]) -> bool:
        try:
            self.documents(slot)
        except UpdateError:
            return False
        return all(_is(self._slots / slot / name, entry) for name, entry in files.items())

    def _discard(self, slot: Path) -> None:
        """Rename first: half a slot must not look like one."""
        scrap = slot if slot.suffix else slot.with_name(slot.name + durable.PARTIAL_SUFFIX)
        if scrap != slot:
            shutil.rmtree(scrap, ignore_errors=True)
            durable.move(slot, scrap)
        shutil.rmtree(scrap)

    def _arrived(self, sha256: str) -> int:
        path = self._partial / sha256
        return path.stat().st_size if path.exists() else 0

    def _free_bytes(self) -> int:
        return shutil.disk_usage(self.folder).free


def _is(path: Path, entry: FileEntry) -> bool:
    """Whether it is this file, whole; what its disk fails to give back is not."""
    try:
        with path.open("rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            return size_bytes == entry.size_bytes and (
                hashlib.file_digest(file, "sha256").hexdigest() == entry.sha256
            )
    except FileNotFoundError:
        return False
    except OSError as error:
        if not durable.is_lost(error):
            raise
        return False
