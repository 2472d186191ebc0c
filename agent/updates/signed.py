"""The signed side of a repository: roles, keys, signatures, versions; on tuf's `Repository`.

```
{folder}/public/    what stations read: metadata/, targets/, objects/. Copy it to any file server
{folder}/staged/    metadata that waits for signatures; it may travel to whoever holds the keys
{folder}/keyring.json   where this machine finds which key; no secrets
```
Root and targets are signed by people with `sign`; `publish` checks that enough have, and signs snapshot and
timestamp with the online key.
"""

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, unquote

from securesystemslib.exceptions import StorageError
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Key,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    Targets,
    Timestamp,
)
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer
from tuf.repository import Repository

from agent import durable
from agent.errors import UpdateError
from agent.names import NAME
from agent.updates.keys import FILE, absolute, lies_here, public_key, sign
from agent.updates.transports.transport import METADATA

VALID_DAYS = {"root": 730, "targets": 365, "snapshot": 30, "timestamp": 30}
"""Delegated roles live as long as targets. What stations get by USB stick must be as fresh as this."""
_NEW: Mapping[str, Any] = {"root": Root, "snapshot": Snapshot, "timestamp": Timestamp}
_ONLINE = ("snapshot", "timestamp")


class SignedRepository(Repository):
    """A repository in a folder, whatever its targets are.

    Args:
        folder: see above.

    Raises:
        UpdateError: there is none.
    """

    def __init__(self, folder: Path) -> None:
        self.public = folder / "public"
        self._staged, self._keyring = folder / "staged", folder / "keyring.json"
        if not self._keyring.exists():
            raise UpdateError(f"{folder}: no repository; make one with `voxline release init`")
        self._uris: dict[str, str] = json.loads(self._keyring.read_text())

    @contextlib.contextmanager
    def alone(self) -> Iterator[Self]:
        """Wait until no other command changes the repository: each would undo what the other has staged."""
        descriptor = os.open(self.public.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._uris = json.loads(self._keyring.read_text())
            yield self
        finally:
            os.close(descriptor)

    @classmethod
    def create(cls, folder: Path, keys: Mapping[str, Collection[str]], thresholds: Mapping[str, int]) -> Self:
        """Make a repository and stage its first metadata.

        Args:
            folder: where; must be new or empty.
            keys: URIs for `root`, `targets`, `snapshot` and `timestamp`, see `public_key`.
            thresholds: how many signatures a role needs; 1 where nothing is said.

        Raises:
            UpdateError: the folder is in use, a key cannot be read, or a role has too few.
        """
        if folder.exists() and any(folder.iterdir()):
            raise UpdateError(f"{folder}: not empty")
        for role, uris in keys.items():  # before anything is made that would be in the way of another try
            _require_enough(role, map(public_key, uris), thresholds.get(role, 1))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "keyring.json").write_text("{}\n")
        repository = cls(folder)
        with repository.edit_root() as root:
            for role, uris in keys.items():
                for uri in uris:
                    root.add_key(repository.learn(uri), role)
                root.roles[role].threshold = thresholds.get(role, 1)
        with repository.edit_targets():
            pass
        return repository

    def learn(self, uri: str) -> Key:
        """Remember where a key is; return its public half."""
        key = public_key(uri := absolute(uri))
        self._uris[key.keyid] = uri
        durable.write_file(self._keyring, json.dumps(self._uris, indent=1).encode() + b"\n")
        return key

    def delegate(
        self, role: str, paths: list[str], uris: Iterable[str], threshold: int | None = None
    ) -> None:
        """Let other keys answer for paths, such as a plant's for `grammar/lyon-*/*`; or give it new ones.

        Args:
            role: whose keys they are.
            paths: patterns of targets.
            uris: of the keys.
            threshold: how many must sign; None: as many as now, of a new role 1.

        Raises:
            UpdateError: no role can be called so, a key cannot be read, or they are too few.
        """
        if role in VALID_DAYS or not re.fullmatch(NAME, role):
            raise UpdateError(f"{role!r}: no name for a role; use small letters, digits, . _ -")
        if threshold is None:
            known = self.delegations().get(role)
            threshold = known.threshold if known else 1
        keys = {key.keyid: key for key in map(self.learn, uris)}
        _require_enough(role, keys.values(), threshold)
        delegated = DelegatedRole(role, list(keys), threshold, False, paths=paths)
        with self.edit_targets() as targets:
            targets.delegations = targets.delegations or Delegations({}, {})
            assert targets.delegations.roles is not None  # noqa: S101 (succinct roles are never made here)
            targets.delegations.roles[role] = delegated
            targets.delegations.keys.update(keys)
        with self.edit_targets(role):
            pass

    def rotate(self, role: str, uris: Iterable[str], threshold: int | None = None) -> None:
        """Give a top-level role new keys; the old ones count no more. With the keys that it has: renew it.

        Args:
            role: one of `VALID_DAYS`.
            uris: of all its keys from now on.
            threshold: how many must sign; None: as many as now.

        Raises:
            UpdateError: there is no such role, a key cannot be read, or they are too few.
        """
        if role not in VALID_DAYS:
            raise UpdateError(
                f"{role!r}: no top-level role; there are root, targets, and snapshot and timestamp, "
                "which the online key signs; `delegate` gives others new keys"
            )
        threshold = threshold or self.root().roles[role].threshold
        keys = [self.learn(uri) for uri in uris]
        _require_enough(role, keys, threshold)
        with self.edit_root() as root:
            for keyid in list(root.roles[role].keyids):
                root.revoke_key(keyid, role)
            for key in keys:
                root.add_key(key, role)
            root.roles[role].threshold = threshold
        if role != Root.type:
            with self.edit(role):
                pass

    def staged(self) -> dict[str, int]:
        """Return how many signatures are missing, by staged role."""
        paths = sorted(path for path in self._staged.glob("*.json") if path.stem not in _ONLINE)
        return {unquote(path.stem): self._missing(unquote(path.stem), _read(path)) for path in paths}

    def sign(self, role: str, uri: str | None = None) -> int:
        """Add a signature to staged metadata; return how many are still missing.

        Args:
            role: staged.
            uri: of the key; None: every key of the role that this machine can reach.

        Raises:
            UpdateError: nothing is staged, or the key is none of the role's.
        """
        path = self._staged / _file(role)
        if not path.exists():
            raise UpdateError(f"{role}: nothing is staged that could be signed")
        metadata = _read(path)
        keys = self._keys(role)
        if uri is not None:
            key = self.learn(uri)
            if key.keyid not in keys:
                raise UpdateError(f"{uri} is no key of {role}")
            sign(metadata, self._uris[key.keyid], key)
        else:
            self._sign(metadata, keys, lambda uri: lies_here(uri) or not uri.startswith(FILE))
        durable.write_file(path, metadata.to_bytes(JSONSerializer()))
        return self._missing(role, metadata)

    def publish(self) -> list[str]:
        """Publish what is staged, and a fresh snapshot and timestamp; return what was published.

        Stations that read meanwhile see the old state or the new one: timestamp.json comes last.

        Raises:
            UpdateError: signatures are missing; nothing was published.
        """
        staged = self.staged()
        for role, missing in staged.items():
            if missing:
                raise UpdateError(f"{role}: {missing} signatures missing; see `voxline release sign`")
        for role in sorted(staged, key=lambda role: role != Root.type):
            self._publish(role)
        self.do_snapshot(force=True)
        self._publish(Snapshot.type)
        self.do_timestamp(force=True)
        self._publish(Timestamp.type)
        return list(staged)

    def expiring(self, within: timedelta) -> dict[str, datetime]:
        """Return roles whose published metadata expires within some time, and when."""
        now = datetime.now(UTC)
        roles = {"root", *_ONLINE, *(name.removesuffix(".json") for name in self.targets_infos)}
        expiry = {role: published.signed.expires for role in roles if (published := self._published(role))}
        return {role: when for role, when in sorted(expiry.items()) if when - now < within}

    def open(self, role: str) -> Metadata[Any]:
        """Return a role's staged metadata, else what is published, else a first version. For tuf."""
        staged = self._staged / _file(role)
        if staged.exists():
            return _read(staged)
        published = self._published(role)
        return published or Metadata(_NEW.get(role, Targets)())

    def close(self, role: str, md: Metadata[Any]) -> None:
        """Stage changed metadata, signed with the keys that lie on this machine. For tuf.

        Keys in a device or a cloud, but for those of the online roles, wait for `sign`.
        """
        published = self._published(role)
        md.signed.version = published.signed.version + 1 if published else 1
        days = VALID_DAYS.get(role, VALID_DAYS["targets"])
        md.signed.expires = (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0)
        md.signatures.clear()
        keys = self._keys(role)
        if isinstance(md.signed, Root):
            keys |= {keyid: md.signed.keys[keyid] for keyid in md.signed.roles[role].keyids}
        self._sign(md, keys, lambda uri: lies_here(uri) or role in _ONLINE)
        self._staged.mkdir(exist_ok=True)
        durable.write_file(self._staged / _file(role), md.to_bytes(JSONSerializer()))

    @property
    def targets_infos(self) -> dict[str, MetaFile]:
        """Return the published versions of targets and delegated roles. For tuf."""
        roles = [Targets.type]
        top = self._published(Targets.type)
        if top and isinstance(top.signed, Targets) and top.signed.delegations:
            roles += top.signed.delegations.roles or {}
        published = {role: self._published(role) for role in roles}
        return {f"{role}.json": MetaFile(md.signed.version) for role, md in published.items() if md}

    @property
    def snapshot_info(self) -> MetaFile:
        """Return the published version of snapshot. For tuf."""
        published = self._published(Snapshot.type)
        return MetaFile(published.signed.version if published else 1)

    def _publish(self, role: str) -> None:
        path = self._staged / _file(role)
        metadata = _read(path)
        if role in _ONLINE and self._missing(role, metadata):
            raise UpdateError(f"{role}: this machine lacks the online key; see keyring.json")
        version = "" if role == Timestamp.type else f"{metadata.signed.version}."
        self.put(f"{METADATA}{version}{path.name}", path.read_bytes())
        path.unlink()

    def put(self, path: str, raw: bytes) -> None:
        """Write a file that stations read, to stay."""
        target = self.public / path
        durable.make_folder(target.parent)
        if not target.exists() or target.read_bytes() != raw:
            durable.write_file(target, raw)

    def _published(self, role: str) -> Metadata[Any] | None:
        name = _file(role)
        folder = self.public / METADATA
        if role != Timestamp.type:
            pattern = re.compile(r"(\d+)\." + re.escape(name))
            found = [match for path in folder.glob(f"*.{name}") if (match := pattern.fullmatch(path.name))]
            name = max(found, key=lambda match: int(match[1]))[0] if found else name
        return _read(folder / name) if (folder / name).exists() else None

    def _keys(self, role: str) -> dict[str, Key]:
        """Return the keys that may sign what is staged; a root's are those of the root before, too."""
        if role in VALID_DAYS:
            roots = [md.signed for md in (self.open(Root.type), self._published(Root.type)) if md]
            return {
                keyid: root.keys[keyid] for root in roots if isinstance(root, Root)
                for keyid in root.roles[role].keyids
            }  # fmt: skip
        delegations = self.targets().delegations
        keyids = self.delegation(role).keyids
        return {keyid: delegations.keys[keyid] for keyid in keyids} if delegations else {}

    def delegations(self) -> dict[str, DelegatedRole]:
        """Return the roles that answer for a part, staged ones included."""
        delegations = self.targets().delegations
        return (delegations.roles if delegations else None) or {}

    def delegation(self, role: str) -> DelegatedRole:
        """Return one of them.

        Raises:
            UpdateError: there is no such role.
        """
        if role not in (delegations := self.delegations()):
            raise UpdateError(f"{role}: no such role; see `voxline release delegate`")
        return delegations[role]

    def _sign(self, metadata: Metadata[Any], keys: Mapping[str, Key], usable: Callable[[str], bool]) -> None:
        for keyid, key in keys.items():
            uri = self._uris.get(keyid)
            if uri and usable(uri):
                sign(metadata, uri, key)

    def _missing(self, role: str, metadata: Metadata[Any]) -> int:
        try:
            if isinstance(metadata.signed, Root):
                before = self._published(Root.type)
                known = before.signed if before and isinstance(before.signed, Root) else None
                result = metadata.signed.get_root_verification_result(
                    known, metadata.signed_bytes, metadata.signatures
                )
                return max(result.first.missing, result.second.missing)
            delegator = self.root() if role in VALID_DAYS else self.targets()
            return delegator.get_verification_result(role, metadata.signed_bytes, metadata.signatures).missing
        except (RepositoryError, ValueError) as error:
            raise UpdateError(f"{role}: {error}") from error


def _require_enough(role: str, keys: Iterable[Key], threshold: int) -> None:
    if len({key.keyid for key in keys}) < threshold:
        raise UpdateError(f"{role}: needs {threshold} keys")


def _read(path: Path) -> Metadata[Any]:
    try:
        return Metadata.from_file(str(path))
    except (DeserializationError, StorageError) as error:
        raise UpdateError(f"{path}: is no metadata: {error.__cause__ or error}") from error


def _file(role: str) -> str:
    return f"{quote(role, safe='')}.json"
