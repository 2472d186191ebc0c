"""The one interface behind which every way to the repository hides.

Nothing that a transport brings is believed: metadata is verified by python-tuf, files by their SHA-256. A
transport only has to end: it never waits without bound, however slow or endless the other side is.
"""

import abc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import tenacity
from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    SlowRetrievalError,
)
from tuf.ngclient import FetcherInterface

from agent.errors import UpdateError

METADATA, TARGETS, OBJECTS = FOLDERS = ("metadata/", "targets/", "objects/")
"""Of a repository: who is trusted with what, the documents that they sign, the files that these name."""
NOT_FOUND = 404
_WORTH_ANOTHER_TRY = {408, 425, 429}
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a transport waits."""

    silence_s: float = 20.0
    """Without a byte."""
    grace_s: float = 30.0
    """After which `min_bytes_per_s` is asked for."""
    min_bytes_per_s: float = 512.0
    """Mean over a file."""
    tries: int = 5
    """For faults that may pass."""
    max_pause_s: float = 20.0
    """Between tries, random, doubling up to this."""


class UnreachableError(UpdateError):
    """The repository cannot be reached, or does not have what it should."""

    code = "unreachable"

    def __init__(self, message: str, *, final: bool) -> None:
        super().__init__(message)
        self.final = final
        """It was reached and said no: to ask again is no use."""


class Transport(FetcherInterface, abc.ABC):
    """Reads files of a repository; python-tuf fetches metadata through it, too."""

    def __init__(self, timeouts: Timeouts) -> None:
        self.timeouts = timeouts
        self.interrupted: Callable[[], bool] = lambda: False
        """Asked between tries: whoever waits may have better things to do."""

    @abc.abstractmethod
    def read(self, path: str, offset: int = 0) -> Iterator[bytes]:
        """Yield a file's bytes from `offset` on, in chunks as they come.

        Args:
            path: within the repository: `metadata/timestamp.json`, `objects/{sha256}`.
            offset: in bytes; the file is longer than that.

        Raises:
            DownloadHTTPError: no such file (404), or refused.
            DownloadError: anything else; it may pass.
        """

    def close(self) -> None:
        """Give connections back. Safe to call twice."""

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """Read a whole small file, trying again where that may help; for python-tuf."""
        content: bytes = self.retrying()(super().download_bytes, url, max_length)
        return content

    def paced(self, path: str, offset: int = 0) -> Iterator[bytes]:
        """Read like `read`, but give a transfer up that is too slow.

        Raises:
            SlowRetrievalError: it is.
        """
        start_s, total = time.monotonic(), 0
        for chunk in self.read(path, offset):
            yield chunk
            total += len(chunk)
            elapsed_s = time.monotonic() - start_s
            if elapsed_s > self.timeouts.grace_s and total < elapsed_s * self.timeouts.min_bytes_per_s:
                raise SlowRetrievalError(f"{path}: {total} bytes in {elapsed_s:.0f} s is too slow")

    def retrying(self) -> tenacity.Retrying:
        """Return what calls a function again while its failure may pass."""
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(may_pass),
            stop=lambda state: state.attempt_number >= self.timeouts.tries or self.interrupted(),
            wait=tenacity.wait_random_exponential(max=self.timeouts.max_pause_s),
            sleep=self._pause,
            reraise=True,
        )

    def _pause(self, seconds: float) -> None:
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s and not self.interrupted():
            time.sleep(min(seconds, _POLL_S))

    def _fetch(self, url: str) -> Iterator[bytes]:
        return self.paced(url)


def may_pass(error: BaseException) -> bool:
    """Whether to try again may help: after 5xx and broken connections, not after 4xx."""
    if isinstance(error, DownloadHTTPError):
        return error.status_code >= 500 or error.status_code in _WORTH_ANOTHER_TRY
    return isinstance(error, DownloadError) and not isinstance(error, DownloadLengthMismatchError)
