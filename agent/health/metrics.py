"""The health report for Prometheus: `GET /metrics` in its text format."""

import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any

import structlog
from pydantic import ConfigDict, create_model

from agent.errors import SettingsError
from agent.health.report import Fault
from agent.health.snapshot import Snapshot, Versions

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SLOW_CLIENT_S = 5.0

log = structlog.get_logger()


def exposition(snapshot: Snapshot, faults: Iterable[Fault]) -> str:
    """Write a snapshot and its faults in Prometheus' text format: `voxline_audio_snr_db 21.5`.

    Text becomes labels of `voxline_info`, the keys of a mapping become labels of its metric (1 where it holds
    text), and what is not known is left out.
    """
    lines = [*_head("voxline_info"), _sample("voxline_info", _info(snapshot), 1), *_head("voxline_fault")]
    lines += [_sample("voxline_fault", {"fault": fault.value}, 1) for fault in faults]
    for name, value in _numbers("voxline", snapshot):
        lines += _head(name)
        if isinstance(value, Mapping):
            lines += [
                _sample(name, {"key": key}, 1 if isinstance(item, str) else item)
                for key, item in sorted(value.items())
            ]
        else:
            lines.append(_sample(name, {}, value))
    return "\n".join(lines) + "\n"


def _head(name: str) -> list[str]:
    kind = "counter" if name.endswith("_total") else "gauge"
    return [f"# HELP {name} {_help()[name]}", f"# TYPE {name} {kind}"]


def _info(snapshot: Snapshot) -> dict[str, str]:
    versions = {field.name: getattr(snapshot.versions, field.name) for field in fields(snapshot.versions)}
    return versions | {"engine": snapshot.engine.name, "source": snapshot.audio.source}


def _numbers(prefix: str, part: object) -> Iterator[tuple[str, float | Mapping[str, float | str]]]:
    for field in fields(part) if is_dataclass(part) else ():
        name, value = f"{prefix}_{field.name}", getattr(part, field.name)
        if isinstance(value, int | float | Mapping):
            yield name, value
        elif not isinstance(value, Versions):
            yield from _numbers(name, value)


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    escaped = (
        f'{key}="{text}"'
        for key, raw in labels.items()
        for text in [raw.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")]
    )
    return f"{name}{{{','.join(escaped)}}} {float(value)!r}" if labels else f"{name} {float(value)!r}"


@cache
def _help() -> dict[str, str]:
    """Return what each metric says, as it is written under the fields of the snapshot."""
    documented = create_model(
        "Documented", __config__=ConfigDict(use_attribute_docstrings=True), voxline=Snapshot
    )
    return dict(_described(documented.model_json_schema(), "voxline", "Snapshot")) | {
        "voxline_info": "What runs and hears, as labels.",
        "voxline_fault": "1 for each fault that the station has now.",
    }


def _described(schema: dict[str, Any], prefix: str, part: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the description of each field of a part, and of the parts within."""
    about = schema["$defs"][part]
    for field, facts in about["properties"].items():
        within = facts.get("$ref", "").rpartition("/")[2]
        if "properties" in schema["$defs"].get(within, {}):
            yield from _described(schema, f"{prefix}_{field}", within)
        else:
            title = about.get("description", part).rstrip(".")
            text = f"{title}: {field.replace('_', ' ')}. {facts.get('description', '')}"
            yield f"{prefix}_{field}", " ".join(text.split()).replace("\\", r"\\")


class MetricsServer:
    """Answers `GET /metrics` with the latest snapshot; each client in a thread: browsers open idle ones.

    Args:
        host: address to listen on.
        port: port to listen on; 0 chooses a free one.

    Raises:
        SettingsError: the address is not ours or the port is taken.

    """

    def __init__(self, host: str, port: int) -> None:
        self._text = ""
        try:
            self._server = _Server(self, host, port)
        except OSError as error:
            raise SettingsError(
                f"[health] metrics: cannot listen on {host}:{port}: {error.strerror}"
            ) from error
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def show(self, snapshot: Snapshot, faults: Iterable[Fault]) -> None:
        """Answer with this from now on."""
        self._text = exposition(snapshot, faults)

    @property
    def text(self) -> str:
        """What is answered now."""
        return self._text

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingTCPServer):  # an HTTPServer asks for the host's name, for as long as the DNS likes
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, metrics: MetricsServer, host: str, port: int) -> None:
        self.metrics = metrics
        super().__init__((host, port), _Handler)

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that leave: port checks do, every few seconds."""
        if not isinstance(sys.exception(), OSError):
            log.exception("metrics_failed")


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _SLOW_CLIENT_S

    def do_GET(self) -> None:
        """Answer a scrape."""
        if self.path != "/metrics":
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        body = self.server.metrics.text.encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: a scrape every few seconds is no event."""
