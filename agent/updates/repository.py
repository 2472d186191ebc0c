"""The release side: what stations can be given, in a repository that they trust."""

import re
from collections.abc import Mapping
from pathlib import Path

from tuf.api.metadata import TargetFile, Targets

from agent.errors import UpdateError
from agent.names import NAME
from agent.updates.release import Channel, Reference, Release, decode, digest_of, order
from agent.updates.signed import SignedRepository
from agent.updates.transports.transport import OBJECTS, TARGETS


class ReleaseRepository(SignedRepository):
    """A repository of releases and channels."""

    def add(self, release: Release, files: Mapping[str, Path], role: str = Targets.type) -> str:
        """Put the files of a release among the objects and stage its document; return its digest.

        Args:
            release: says which files.
            files: where each of them is.
            role: who answers for it; see `delegate`.

        Raises:
            UpdateError: a file is not what the release says, the role may not speak for this path, or another
                release has this version: stations that have it would never notice.
        """
        raw = release.encode()
        before = self.targets(role).targets.get(release.reference.target)
        if before and before.hashes["sha256"] != digest_of(raw):
            raise UpdateError(f"{release.reference} is another release already; give this one a new version")
        for name, entry in release.files.items():
            content = files[name].read_bytes()
            if digest_of(content) != entry.sha256:
                raise UpdateError(f"{files[name]}: changed while it was released")
            self.put(OBJECTS + entry.sha256, content)
        self._add_target(release.reference.target, raw, role)
        return digest_of(raw)

    def reissue(self, old: Reference, version: str, role: str = Targets.type) -> Reference:
        """Stage a newer release of the very files that an older one has: the way back for all stations.

        Raises:
            UpdateError: there is no such release, or the version is not above all that the role has released.
        """
        targets = self.targets(role).targets
        target = targets.get(old.target)
        if target is None:
            raise UpdateError(f"{role} has no {old.target}")
        new = Reference.parse(f"{old.line}/{version}")
        found = (path.removesuffix(".json") for path in targets if path.startswith(f"{old.line}/"))
        newest = max(map(Reference.parse, found), key=lambda this: order(this.version))
        if order(version) <= order(newest.version):
            raise UpdateError(f"{new} is not above {newest}: stations that ran that would refuse it")
        raw = (self.public / TARGETS / target.get_prefixed_paths()[0]).read_bytes()
        release = decode(Release, raw, old.target).model_copy(update={"version": version})
        self._add_target(new.target, release.encode(), role)
        return new

    def set_channel(self, name: str, channel: Channel, role: str = Targets.type) -> None:
        """Say what stations that follow a channel should run.

        Raises:
            UpdateError: no channel can be called so, or it names a release that is not there.
        """
        if not re.fullmatch(NAME, name):
            raise UpdateError(f"{name!r}: a channel's name is of small letters, digits and . _ -")
        there = self.contents()
        if missing := [str(named) for named in channel.references if named.target not in there]:
            raise UpdateError(f"channel {name}: the repository has no {', '.join(missing)}")
        self._add_target(Channel.target(name), channel.model_dump_json().encode(), role)

    def contents(self) -> dict[str, str]:
        """Return the role that answers for each document, by path: published, or staged to be."""
        roles = [Targets.type, *self.delegations()]
        return {path: role for role in reversed(roles) for path in self.targets(role).targets}

    def withdraw(self, target: str, role: str = Targets.type) -> None:
        """Take a document out of the repository.

        Raises:
            UpdateError: it is not there.
        """
        with self.edit_targets(role) as targets:
            if targets.targets.pop(target, None) is None:
                raise UpdateError(f"{role} has no {target}")

    def _add_target(self, path: str, raw: bytes, role: str) -> None:
        if role != Targets.type and not self.delegation(role).is_delegated_path(path):
            raise UpdateError(f"{role} may not answer for {path}; see `voxline release delegate`")
        target = TargetFile.from_data(path, raw, ["sha256"])
        self.put(TARGETS + target.get_prefixed_paths()[0], raw)  # first: what is staged may be published
        with self.edit_targets(role) as targets:
            targets.targets[path] = target
