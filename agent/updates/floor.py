"""What the station never goes below: versions of signed metadata, and time.

python-tuf compares new metadata with the copies that it keeps. Where a power cut tore those it would take
older ones as new. This floor is kept apart, synced, and raised before anything is used. Pure, but for `load`
and `save`.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal

import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from agent import durable
from agent.errors import UpdateError

log = structlog.get_logger()


class UntrustedError(UpdateError):
    """What the repository says is forged, outdated, or contradicts itself."""

    code = "untrusted"


class Mark(BaseModel):
    """How far a role has come, by metadata that verified."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int
    keys: tuple[str, ...]
    """Ids of the keys that may sign it, sorted."""


class Floor(BaseModel):
    """The lowest that is acceptable. It never sinks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    time: AwareDatetime | None = None
    """A moment that has passed for certain. It is only taken while all metadata was valid, so a clock that
    runs ahead cannot raise it too far."""
    roles: Mapping[str, Mark] = {}

    def past(self, now: datetime) -> datetime:
        """Return what has passed for certain, whatever the clock says: what expires by then has expired."""
        return max(now, self.time) if self.time else now

    def check(self, seen: Mapping[str, Mark]) -> None:
        """Refuse what is older than what was seen before.

        Args:
            seen: of every role.

        Raises:
            UntrustedError: names the role.
        """
        # With new online keys versions may begin anew: the owner recovers so from stolen ones.
        renewed = any(self._rotated(role, seen) for role in ("timestamp", "snapshot"))
        for role, this in seen.items():
            mark = self.roles.get(role)
            forgiven = role != "root" and (renewed or self._rotated(role, seen))
            if mark and this.version < mark.version and not forgiven:
                raise UntrustedError(f"{role}.json went back from version {mark.version} to {this.version}")

    def raised(self, seen: Mapping[str, Mark], past: datetime) -> "Floor":
        """Return the floor after metadata that passed `check` and had not expired at `past`."""
        return Floor(time=past, roles=seen)

    def _rotated(self, role: str, seen: Mapping[str, Mark]) -> bool:
        return role in self.roles and self.roles[role].keys != seen[role].keys


def load(path: Path) -> Floor:
    """Read the floor; a damaged file is reported and begins anew, or a bad disk would end all updates.

    Raises:
        OSError: it may be whole, but cannot be read now.
    """
    try:
        return Floor.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Floor()
    except (OSError, ValidationError) as error:
        if isinstance(error, OSError) and not durable.is_lost(error):
            raise
        log.exception("update_floor_damaged", path=str(path))
        return Floor()


def save(path: Path, floor: Floor) -> None:
    """Write the floor, to stay."""
    durable.write_file(path, floor.model_dump_json().encode())
