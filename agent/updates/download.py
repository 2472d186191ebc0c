"""Fetching large files: what has arrived is kept, and gone on with after whatever broke off."""

import os
from collections.abc import Callable
from pathlib import Path

from tuf.api.exceptions import DownloadError, DownloadLengthMismatchError

from agent.updates.transports.transport import Transport, UnreachableError, may_pass

_SYNC_EVERY_BYTES = 2**22
"""A power cut costs at most this much of a download."""


def download(
    transport: Transport,
    path: str,
    size_bytes: int,
    target: Path,
    on_bytes: Callable[[int], None] = lambda _count: None,
) -> None:
    """Fetch what is missing of a file. What it holds is not checked here.

    Args:
        transport: how.
        path: of the file in the repository.
        size_bytes: of the whole file; not a byte more is accepted.
        target: grows; what it holds already is not fetched again.
        on_bytes: called with the size of each chunk; may raise to stop.

    Raises:
        UnreachableError: it could not be had, for good or for now; what arrived stays.
        OSError: the disk refuses.
    """
    try:
        transport.retrying()(_resume, transport, path, size_bytes, target, on_bytes)
    except DownloadError as error:
        raise UnreachableError(str(error), final=not may_pass(error)) from error


def _resume(
    transport: Transport, path: str, size_bytes: int, target: Path, on_bytes: Callable[[int], None]
) -> None:
    with target.open("ab") as file:
        if (offset := file.tell()) > size_bytes:
            file.truncate(offset := 0)
        synced = offset
        chunks = transport.paced(path, offset) if offset < size_bytes else iter(())
        for chunk in chunks:
            if offset + len(chunk) > size_bytes:
                raise DownloadLengthMismatchError(f"{path}: longer than {size_bytes} bytes")
            file.write(chunk)
            offset += len(chunk)
            if offset - synced >= _SYNC_EVERY_BYTES:
                file.flush()
                os.fsync(file.fileno())
                synced = offset
            on_bytes(len(chunk))
    if offset < size_bytes:
        raise DownloadError(f"{path}: ended after {offset} of {size_bytes} bytes")
