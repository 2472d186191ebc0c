"""A repository in a folder: a USB stick, a share, a test."""

from collections.abc import Iterator
from pathlib import Path

from tuf.api.exceptions import DownloadError, DownloadHTTPError

from agent.updates.transports.transport import NOT_FOUND, Timeouts, Transport

_CHUNK_BYTES = 2**18


class Folder(Transport):
    """Reads a repository that lies in a folder.

    Args:
        folder: what `voxline release publish` writes.
        timeouts: what a slow disk is allowed.
    """

    def __init__(self, folder: Path, timeouts: Timeouts | None = None) -> None:
        super().__init__(timeouts or Timeouts(tries=1))
        self._folder = folder

    def read(self, path: str, offset: int = 0) -> Iterator[bytes]:
        """Yield a file's bytes from `offset` on. See `Transport.read`."""
        try:
            with open_within(self._folder, path).open("rb") as file:
                file.seek(offset)
                while chunk := file.read(_CHUNK_BYTES):
                    yield chunk
        except FileNotFoundError as error:
            if self._is_empty():
                raise DownloadError(f"{self._folder}: not there; a stick may be missing") from error
            raise DownloadHTTPError(f"{path}: not in {self._folder}", NOT_FOUND) from error
        except OSError as error:
            raise DownloadError(f"{self._folder / path}: {error.strerror}") from error

    def _is_empty(self) -> bool:
        """Whether nothing is there, or only the mount point that a stick leaves behind."""
        return not self._folder.is_dir() or not any(self._folder.iterdir())


def open_within(folder: Path, path: str) -> Path:
    """Return the path of a regular file inside `folder`.

    Raises:
        FileNotFoundError: there is none, or the path or a link leads out of the folder.
    """
    inside = folder.resolve()
    try:
        found = (inside / path).resolve()
    except (ValueError, RuntimeError) as error:  # a null byte, links in a circle
        raise FileNotFoundError(path) from error
    if not found.is_relative_to(inside) or not found.is_file():
        raise FileNotFoundError(path)
    return found
