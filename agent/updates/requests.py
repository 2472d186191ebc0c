"""What a person at the station's shell asks of the agent that runs: small files that it takes in turn.

They lie below the folder of everything that updates keep.
"""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import structlog
from pydantic import TypeAdapter, ValidationError

from agent import durable
from agent.updates.events import Pin, Rollback
from agent.updates.state import Wish

Request = Wish | Rollback | Pin
_CODEC = TypeAdapter(dict[str, Request])
_NAME = "requests"

log = structlog.get_logger()


def leave_request(folder: Path, request: Request) -> None:
    """Leave a request for the agent."""
    requests = folder / _NAME
    durable.make_folder(requests)
    name = type(request).__name__
    durable.write_file(requests / f"{uuid4()}.json", _CODEC.dump_json({name: request}))


def has_requests(folder: Path) -> bool:
    """Whether something was left."""
    return any(folder.glob(f"{_NAME}/*.json"))


def take_requests(folder: Path) -> Iterator[Request]:
    """Yield and remove what was left, oldest first; what cannot be read is reported and removed."""
    for path in sorted(folder.glob(f"{_NAME}/*.json"), key=lambda path: path.stat().st_mtime_ns):
        try:
            requests = _CODEC.validate_json(path.read_bytes())
        except (OSError, ValidationError):
            log.exception("update_request_unreadable", path=str(path))
            requests = {}
        path.unlink()
        yield from requests.values()
