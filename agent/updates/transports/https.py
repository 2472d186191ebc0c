"""A repository on any static file server."""

import contextlib
import re
import socket
import threading
from collections.abc import Iterator

import urllib3
from tuf.api.exceptions import DownloadError, DownloadHTTPError, SlowRetrievalError
from urllib3.response import BaseHTTPResponse

from agent.settings import Tls
from agent.updates.transports.transport import Timeouts, Transport

_CHUNK_BYTES = 2**16
_HEAD_LIMIT_S = 30.0
"""From the request to the end of the answer's head, however steadily it drips."""


class _Connection(urllib3.connection.HTTPConnection):
    """Gives up an answer whose head never ends; time-outs of sockets only notice silence."""

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override] # as in urllib3 itself
        timer = threading.Timer(_HEAD_LIMIT_S, self._cut)
        timer.start()
        try:
            return super().getresponse()
        finally:
            timer.cancel()

    def _cut(self) -> None:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)


class _TlsConnection(_Connection, urllib3.connection.HTTPSConnection):
    pass


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class Https(Transport):
    """Reads a repository over HTTPS; goes on with `Range` where a transfer broke.

    Args:
        base: URL of the repository's folder, ending in `/`.
        tls: None trusts the system's authorities.
        timeouts: how slow the server may be.
    """

    def __init__(self, base: str, tls: Tls | None = None, timeouts: Timeouts | None = None) -> None:
        super().__init__(timeouts or Timeouts())
        self._base = base
        self._pool = urllib3.PoolManager(
            maxsize=1,
            timeout=urllib3.Timeout(self.timeouts.silence_s),
            ca_certs=str(tls.ca) if tls and tls.ca else None,
            cert_file=str(tls.certificate) if tls and tls.certificate else None,
            key_file=str(tls.key) if tls and tls.key else None,
            headers={"User-Agent": "voxline", "Accept-Encoding": "identity"},
        )
        self._pool.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def close(self) -> None:
        """Close the connection."""
        self._pool.clear()

    def read(self, path: str, offset: int = 0) -> Iterator[bytes]:
        """Yield a file's bytes from `offset` on. See `Transport.read`."""
        url = self._base + path
        headers = {**self._pool.headers, **({"Range": f"bytes={offset}-"} if offset else {})}
        try:
            response = self._pool.request(
                "GET",
                url,
                headers=headers,
                preload_content=False,
                decode_content=False,  # what was not asked for may unpack to any size
                redirect=False,
                retries=False,
            )
            try:
                yield from _body(response, url, offset)
            finally:
                response.close()
        except urllib3.exceptions.TimeoutError as error:
            raise SlowRetrievalError(f"{url}: no answer within {self.timeouts.silence_s} s") from error
        except urllib3.exceptions.HTTPError as error:
            raise DownloadError(f"{url}: {error}") from error


def _body(response: BaseHTTPResponse, url: str, offset: int) -> Iterator[bytes]:
    if 300 <= response.status < 400:
        # A repository does not move; what answers so is a portal that wants a login.
        raise DownloadHTTPError(f"{url}: redirected to {response.headers.get('Location')}", response.status)
    if response.status not in (200, 206):
        raise DownloadHTTPError(f"{url}: the server answers {response.status}", response.status)
    if response.chunked:
        # The size of a chunk is a line of any length. File servers say how long a file is.
        raise DownloadError(f"{url}: the answer comes in chunks of unknown size; serve files as they are")
    skip = offset
    if response.status == 206:
        given = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if not given or int(given[1]) != offset:
            raise DownloadError(f"{url}: asked for bytes from {offset} on, got {given and given[0]}")
        skip = 0
    while chunk := response.read1(_CHUNK_BYTES):
        dropped = min(skip, len(chunk))
        skip -= dropped
        yield chunk[dropped:]
