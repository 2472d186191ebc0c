"""Updates from a real nginx, and from web servers that misbehave as networks do."""

import contextlib
import gzip
import shutil
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tuf.api.exceptions import DownloadError, DownloadHTTPError

from agent.updates import updater as updater_module
from agent.updates.download import download
from agent.updates.events import Pin
from agent.updates.probation import Terms
from agent.updates.repository import ReleaseRepository
from agent.updates.requests import leave_request
from agent.updates.state import Phase
from agent.updates.transports import https
from agent.updates.transports.https import Https
from agent.updates.transports.transport import Timeouts, UnreachableError
from tests.integration.brokers import HOST, eventually, free_port
from tests.updates.house import Obedient, make_repository, make_updater, release, wish

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
BRISK = Timeouts(silence_s=1, grace_s=0.5, min_bytes_per_s=2000, tries=3, max_pause_s=0.1)
CONTENT = bytes(range(256)) * 4000


@pytest.fixture
def repository(tmp_path: Path) -> ReleaseRepository:
    repository = make_repository(tmp_path / "repository")
    release(repository, "model/press/1.0.0", {"model.onnx": CONTENT})
    repository.publish()
    return repository


@pytest.fixture
def nginx(tmp_path: Path, repository: ReleaseRepository) -> Iterator[tuple[str, Path]]:
    """A Debian nginx that serves the repository; gives its URL and its access log."""
    port, log = free_port(), tmp_path / "access.log"
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"""
        daemon off; pid {tmp_path}/nginx.pid; error_log {tmp_path}/error.log; user root;
        events {{}}
        http {{
          log_format short '$status $body_bytes_sent $http_range $uri';
          access_log {log} short;
          client_body_temp_path {tmp_path}/t1; proxy_temp_path {tmp_path}/t2; fastcgi_temp_path {tmp_path}/t3;
          uwsgi_temp_path {tmp_path}/t4; scgi_temp_path {tmp_path}/t5;
          server {{
            listen {HOST}:{port};
            location / {{ root {repository.public}; }}
            location /slow/ {{ alias {repository.public}/; limit_rate 300; }}
            location /broken/ {{ return 503; }}
          }}
        }}"""
    )
    assert NGINX
    process = subprocess.Popen([NGINX, "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        assert eventually(lambda: _listens(port))
        yield f"http://{HOST}:{port}/", log
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


def object_of(repository: ReleaseRepository) -> str:
    biggest = max((repository.public / "objects").iterdir(), key=lambda path: path.stat().st_size)
    return f"objects/{biggest.name}"


@needs_nginx
def test_a_whole_update(repository: ReleaseRepository, nginx: tuple[str, Path], tmp_path: Path) -> None:
    updater = make_updater(tmp_path / "station", repository, Obedient(), Https(nginx[0]), terms=Terms(0, 0))
    updater.start()
    updater.wish(wish("model/press/1.0.0"))
    assert eventually(lambda: updater.state.phase is Phase.COMMITTED)
    updater.stop()
    assert updater.parts.model
    assert (updater.parts.model / "model.onnx").read_bytes() == CONTENT


@needs_nginx
def test_a_download_goes_on_where_it_broke(
    repository: ReleaseRepository, nginx: tuple[str, Path], tmp_path: Path
) -> None:
    target = tmp_path / "part"
    target.write_bytes(CONTENT[:600_000])
    download(Https(nginx[0]), object_of(repository), len(CONTENT), target)
    assert target.read_bytes() == CONTENT
    assert eventually(lambda: "bytes=600000-" in nginx[1].read_text())
    status, sent = nginx[1].read_text().split()[:2]
    assert (status, int(sent)) == ("206", len(CONTENT) - 600_000)


@needs_nginx
@pytest.mark.parametrize(("path", "final", "requests"), [("broken/x", False, 3), ("missing", True, 1)])
def test_5xx_is_tried_again_within_bounds_and_4xx_ends(
    nginx: tuple[str, Path], tmp_path: Path, path: str, final: bool, requests: int
) -> None:
    with pytest.raises(UnreachableError) as caught:
        download(Https(nginx[0], timeouts=BRISK), path, 10, tmp_path / "part")
    assert caught.value.final is final
    assert eventually(lambda: len(nginx[1].read_text().splitlines()) == requests)


@needs_nginx
def test_slow_drip(repository: ReleaseRepository, nginx: tuple[str, Path], tmp_path: Path) -> None:
    start_s = time.monotonic()
    with pytest.raises(UnreachableError, match="slow"):
        download(
            Https(nginx[0] + "slow/", timeouts=BRISK), object_of(repository), len(CONTENT), tmp_path / "p"
        )
    assert time.monotonic() - start_s < 15


class Mischief(socketserver.ThreadingTCPServer):
    """Answers each request as told, byte by byte."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, answer: Callable[..., bytes | Iterator[bytes]], *, by_path: bool = False) -> None:
        outer = self
        self.requests = 0

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                head = b""
                while (line := self.rfile.readline()) not in (b"\r\n", b""):
                    head += line
                offset = int(head.split(b"bytes=")[1].split(b"-")[0]) if b"bytes=" in head else 0
                outer.requests += 1
                path = head.split()[1].decode().removeprefix("/")
                given = answer(outer.requests, path if by_path else offset)
                with contextlib.suppress(OSError):  # the other side may have enough
                    for part in (given,) if isinstance(given, bytes) else given:
                        self.wfile.write(part)

        super().__init__((HOST, 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_address[1]}/"


def respond(status: str, body: bytes, *headers: str, length: int | None = None) -> bytes:
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Length: {len(body) if length is None else length}",
        *headers,
        "Connection: close",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def ranged(offset: int, body: bytes, length: int | None = None) -> bytes:
    if not offset:
        return respond("200 OK", body, length=length)
    return respond(
        "206 Partial Content",
        body,
        f"Content-Range: bytes {offset}-{len(CONTENT) - 1}/{len(CONTENT)}",
        length=length,
    )


def fetch(server: Mischief, target: Path) -> bytes:
    with server:
        download(Https(server.url, timeouts=BRISK), "objects/x", len(CONTENT), target)
    return target.read_bytes()


def test_connections_cut_again_and_again(tmp_path: Path) -> None:
    def answer(number: int, offset: int) -> bytes:
        rest = CONTENT[offset:]
        return ranged(offset, rest[:400_000] if number < 3 else rest, length=len(rest))

    assert fetch(Mischief(answer), tmp_path / "part") == CONTENT


def test_a_server_that_knows_no_ranges(tmp_path: Path) -> None:
    def answer(number: int, _: int) -> bytes:
        return respond("200 OK", CONTENT[:300_000] if number == 1 else CONTENT, length=len(CONTENT))

    assert fetch(Mischief(answer), tmp_path / "part") == CONTENT


def test_a_wrong_range_is_not_believed(tmp_path: Path) -> None:
    server = Mischief(
        lambda _, offset: respond("206 Partial Content", CONTENT[offset:], "Content-Range: bytes 7-9/10")
    )
    (tmp_path / "part").write_bytes(CONTENT[:1000])
    with pytest.raises(UnreachableError, match="asked for bytes from 1000"):
        fetch(server, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT[:1000]


def test_more_than_was_signed_is_not_taken(tmp_path: Path) -> None:
    server = Mischief(lambda _, offset: ranged(offset, CONTENT[offset:] + b"more"))
    with pytest.raises(UnreachableError, match="longer than"):
        fetch(server, tmp_path / "part")
    assert (tmp_path / "part").stat().st_size <= len(CONTENT)


def test_a_portal_that_redirects(tmp_path: Path) -> None:
    server = Mischief(lambda *_: respond("302 Found", b"", "Location: http://login.example/"))
    with pytest.raises(UnreachableError, match=r"redirected to http://login.example/") as caught:
        fetch(server, tmp_path / "part")
    assert caught.value.final
    assert server.requests == 1


def test_a_portal_instead_of_the_repository(repository: ReleaseRepository, tmp_path: Path) -> None:
    with Mischief(lambda *_: respond("200 OK", b"<html>Please log in</html>")) as server:
        station = Obedient()
        way = Https(server.url, timeouts=BRISK)
        updater = make_updater(tmp_path / "station", repository, station, way)
        updater.start()
        updater.wish(wish("model/press/1.0.0"))
        assert eventually(lambda: updater.state.phase is Phase.REFUSED)
        updater.stop()
    assert "cannot be trusted" in updater.state.reason


def test_a_head_that_drips_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line comes in time, but there is always one more: no time-out of a socket notices."""
    monkeypatch.setattr(https, "_HEAD_LIMIT_S", 0.5)
    sent = []

    def drip() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\n"
        while True:
            time.sleep(0.05)
            sent.append(b"X: y\r\n")
            yield sent[-1]

    with pytest.raises(UnreachableError):
        fetch(Mischief(lambda *_: drip()), tmp_path / "part")
    assert len(sent) < 100


def test_an_answer_in_chunks_or_packed_is_not_unpacked(tmp_path: Path) -> None:
    """A chunk's size is a line without end; what was not asked to be packed may unpack to any size."""
    endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 100_000
    with pytest.raises(UnreachableError, match="chunks"):
        fetch(Mischief(lambda *_: endless), tmp_path / "part")
    bomb = gzip.compress(bytes(50_000_000))
    with Mischief(lambda *_: respond("200 OK", bomb, "Content-Encoding: gzip")) as server:
        assert b"".join(Https(server.url).read("x")) == bomb


def test_who_waits_for_a_server_can_be_called_away(tmp_path: Path) -> None:
    way = Https(f"http://{HOST}:{free_port()}/", timeouts=Timeouts(max_pause_s=60))
    way.interrupted = lambda: True
    with pytest.raises(UnreachableError) as caught:
        download(way, "x", 10, tmp_path / "p")
    assert not caught.value.final


def test_a_rollback_by_hand_does_not_wait_for_a_slow_download(
    repository: ReleaseRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updater_module, "TICK_S", 0.01)

    def slow_objects(_: int, path: str) -> Iterator[bytes]:
        body = (repository.public / path).read_bytes() if (repository.public / path).exists() else None
        if body is None:
            yield respond("404 Not Found", b"")
            return
        yield respond("200 OK", b"", length=len(body))
        for start in range(0, len(body), 2000):
            if path.startswith("objects/"):
                time.sleep(0.05)
            yield body[start : start + 2000]

    with Mischief(slow_objects, by_path=True) as server:
        folder = tmp_path / "station"
        updater = make_updater(folder, repository, Obedient(), Https(server.url))
        updater.start()
        updater.wish(wish("model/press/1.0.0"))
        assert eventually(lambda: updater.state.phase is Phase.DOWNLOADING)
        leave_request(folder, Pin(True))
        assert eventually(lambda: updater.state.pinned)
        assert updater.state.phase is Phase.REFUSED
        assert not any((folder / "store" / "slots").iterdir())
        updater.stop()


def test_the_end_does_not_wait_for_a_server_that_says_nothing(
    repository: ReleaseRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updater_module, "LEAVE_S", 0.2)
    with socket.create_server((HOST, 0)) as silent:
        way = Https(f"http://{HOST}:{silent.getsockname()[1]}/")
        updater = make_updater(tmp_path / "station", repository, Obedient(), way)
        updater.start()
        updater.wish(wish("model/press/1.0.0"))
        assert eventually(lambda: updater.state.phase is Phase.CHECKING)
        start_s = time.monotonic()
        updater.stop()
        assert time.monotonic() - start_s < 5


def test_garbage_and_silence(tmp_path: Path) -> None:
    for answer in (b"\0" * 100, b"HTTP/1.1 999\r\n\r\n", b""):
        with pytest.raises(UnreachableError):
            fetch(Mischief(lambda *_, answer=answer: answer), tmp_path / "part")
    with socket.create_server((HOST, 0)) as silent:
        timeouts = Timeouts(silence_s=0.3, tries=2, max_pause_s=0.1)
        way = Https(f"http://{HOST}:{silent.getsockname()[1]}/", timeouts=timeouts)
        with pytest.raises(UnreachableError, match="no answer"):
            download(way, "x", 10, tmp_path / "p")


def test_transport_tells_errors_apart() -> None:
    with Mischief(lambda *_: respond("404 Not Found", b"")) as server:
        missing = Https(server.url).read("x")
        with pytest.raises(DownloadHTTPError):
            list(missing)
    with pytest.raises(DownloadError):
        list(Https(f"http://{HOST}:{free_port()}/").read("x"))
