"""The state of the updates in one small file, in the folder of everything that updates keep."""

from pathlib import Path
from typing import Literal

import structlog
from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from agent import durable
from agent.updates.state import State

_NAME = "state.json"

log = structlog.get_logger()


@dataclass(frozen=True)
class _File:
    schema_version: Literal[1]
    state: State


_CODEC = TypeAdapter(_File)


def load(folder: Path) -> State:
    """Read the state; where there is none, or a damaged one, the link alone says what is in use.

    Raises:
        OSError: it may be whole, but cannot be read now.
    """
    path = folder / _NAME
    try:
        return _CODEC.validate_json(path.read_bytes()).state
    except FileNotFoundError:
        return State()
    except (OSError, ValidationError) as error:
        if isinstance(error, OSError) and not durable.is_lost(error):
            raise
        log.error("update_state_damaged", path=str(path), reason=str(error)[:500])  # noqa: TRY400
        return State()


def save(folder: Path, state: State) -> None:
    """Write the state, to stay.

    Raises:
        OSError: the old one stands.
    """
    durable.write_file(folder / _NAME, _CODEC.dump_json(_File(1, state)))
