import re
import socket
import struct
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest

from agent.errors import SettingsError
from agent.health.metrics import MetricsServer, exposition
from agent.health.report import Fault
from tests.health.test_report import WELL

LINE = re.compile(
    r'[a-z_]+(\{[a-z_]+="([^"\\\n]|\\.)*"(,[a-z_]+="([^"\\\n]|\\.)*")*\})? (-?[0-9.e+-]+|nan|inf)'
)


@pytest.fixture
def server() -> Iterator[MetricsServer]:
    metrics = MetricsServer("127.0.0.1", 0)
    yield metrics
    metrics.close()


def samples(text: str) -> dict[str, float]:
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if not line.startswith("#")
    }


def test_every_number_of_the_snapshot_is_a_sample() -> None:
    values = samples(exposition(WELL, ()))
    assert values["voxline_uptime_seconds"] == 60
    assert values["voxline_audio_frames_total"] == 6000
    assert values['voxline_recognizer_rejects_total{key="background"}'] == 2
    assert values["voxline_link_connected"] == 1
    assert values["voxline_engine_fallback"] == 0
    assert values["voxline_commands_inhibited"] == 0
    assert values["voxline_commands_unavailable_count"] == 1
    assert values['voxline_commands_unavailable{key="feed"}'] == 1
    assert "voxline_audio_snr_db" not in values  # not known
    labels = {"agent": "0.1.0", "bundle": "moonshine@1", "grammar": "demo@abc", "engine": "rknn"}
    info = ",".join(f'{name}="{text}"' for name, text in {**labels, "source": "USB microphone"}.items())
    assert values[f"voxline_info{{{info}}}"] == 1


def test_text_follows_the_format_whatever_names_contain() -> None:
    odd = replace(WELL, audio=replace(WELL.audio, source='USB "best"\\mic\n2'))
    lines = exposition(odd, [Fault.NO_LINK]).splitlines()
    assert all(line.startswith(("# HELP ", "# TYPE ")) or LINE.fullmatch(line) for line in lines), lines
    assert 'voxline_fault{fault="no_link"} 1.0' in lines
    names = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(names) == len(set(names))


def test_every_metric_says_what_it_is() -> None:
    text = exposition(WELL, ())
    pairs = list(pairwise(text.splitlines()))
    assert all(
        line.startswith(f"# HELP {after.split()[2]} ") for line, after in pairs if after.startswith("# TYPE ")
    )
    assert (
        "# HELP voxline_recognizer_beam_sentences What was heard, and whether the recognizer keeps up: "
        in text
    )
    assert "beam sentences. Partial sentences alive now.\n" in text
    assert "# HELP voxline_audio_frames_total What the microphone delivers: frames total.\n" in text


def test_no_name_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the DNS hangs, the agent would too."""
    asked: list[object] = []
    for name in ("getfqdn", "gethostbyaddr", "getnameinfo"):
        monkeypatch.setattr(socket, name, asked.append)
    MetricsServer("127.0.0.1", 0).close()
    assert asked == []


def test_scrape(server: MetricsServer) -> None:
    server.show(WELL, ())
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=5) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert answer.read().decode() == exposition(WELL, ())
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://127.0.0.1:{server.port}/", timeout=5)


def test_garbage_and_a_client_that_leaves_do_no_harm(
    server: MetricsServer, capfd: pytest.CaptureFixture[str]
) -> None:
    server.show(WELL, ())
    for content in (b"\0\xff" * 100 + b"\r\n\r\n", b"", b"GET /metrics HTTP/1.0\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.sendall(content)
            reset = struct.pack("ii", 1, 0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
    test_scrape(server)
    assert capfd.readouterr().err == ""


def test_a_client_that_says_nothing_holds_up_nobody(server: MetricsServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port)):
        began_s = time.monotonic()
        test_scrape(server)
        assert time.monotonic() - began_s < 3


def test_a_taken_port_is_named(server: MetricsServer) -> None:
    with pytest.raises(SettingsError, match=f"127.0.0.1:{server.port}"):
        MetricsServer("127.0.0.1", server.port)
