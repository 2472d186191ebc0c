"""What of a repository may be believed: python-tuf's client, with its five gaps closed.

- It does not sync. Metadata is synced here before the floor is raised and before anything of it is used; torn
  metadata reads as none and is fetched again.
- It takes root.json away before it links the new one. The root that was shipped is always given to it.
- Its downloads neither resume nor appear whole. Files come by `agent.updates.download`, by SHA-256 out of
  signed documents; it only fetches these documents.
- With torn copies it forgets what it knew. `agent.updates.floor` does not.
- What has expired it asks the system's clock alone, which a board without a battery starts in the past. It is
  told the floor of time here, for every role.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from tuf.api.exceptions import DownloadError, DownloadLengthMismatchError, RepositoryError
from tuf.api.metadata import Metadata, Root, Targets
from tuf.ngclient import Updater

from agent import durable
from agent.updates import floor
from agent.updates.floor import Mark, UntrustedError
from agent.updates.transports.transport import METADATA, TARGETS, Transport, UnreachableError, may_pass

MAX_DOCUMENT_BYTES = 2**20
"""Who signs a document, such as a plant, is trusted with what it says, not with a station's memory."""
DOCUMENTS_KEPT = 64
"""They come again where they are needed; every version of every release has one."""
_ROLES = ("root", "timestamp", "snapshot", "targets")


class Trust:
    """The verified view of a repository.

    Args:
        root: the root metadata that was shipped: all trust begins here.
        folder: for copies of metadata; made where it is missing.
        documents: folder for copies of signed documents; made where it is missing.
        floor_file: path of the floor, in neither folder.
        transport: how to reach the repository.
        now: the station's clock, UTC.
    """

    def __init__(
        self,
        root: bytes,
        folder: Path,
        documents: Path,
        floor_file: Path,
        transport: Transport,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._root, self._folder, self._documents = root, folder, documents
        self._floor_file = floor_file
        self.transport, self._now = transport, now
        self._updater: Updater | None = None

    def refresh(self) -> None:
        """Learn what the repository says now.

        Raises:
            UntrustedError: it is forged, older than what was seen, expired, or contradicts itself.
            UnreachableError: it could not be asked.
            OSError: the disk refuses.
        """
        self._updater = None
        known = floor.load(self._floor_file)
        past = known.past(self._now())
        durable.make_folder(self._folder)
        durable.make_folder(self._documents)
        with _translated():
            updater = Updater(
                str(self._folder),
                METADATA,
                target_base_url=TARGETS,
                fetcher=self.transport,
                bootstrap=self._root,
            )
            # No public way leads there; the tests of a clock in the past would notice.
            updater._trusted_set.reference_time = past
            updater.refresh()
            durable.sync_tree(self._folder)
            seen = self._seen()
        known.check(seen)
        floor.save(self._floor_file, known.raised(seen, past))
        self._updater = updater

    def read(self, path: str) -> bytes | None:
        """Return a signed document as of the last `refresh`, None if there is no such document.

        Raises:
            UntrustedError: what came is not what was signed, or no document can be so large.
            UnreachableError: it could not be had.
        """
        if self._updater is None:
            self.refresh()
        assert self._updater  # noqa: S101 (for mypy: refresh sets it or raises)
        copy = self._documents / quote(path, safe="")
        with _translated():
            info = self._updater.get_targetinfo(path)
            if info is None:
                return None
            if info.length > MAX_DOCUMENT_BYTES:
                raise UntrustedError(f"{path}: {info.length} bytes are too many for a document")
            if not self._updater.find_cached_target(info, str(copy)):
                partial = copy.with_name(copy.name + durable.PARTIAL_SUFFIX)
                self._updater.download_target(info, str(partial))
                durable.sync(partial)
                durable.move(partial, copy)
                durable.thin_out(copy, DOCUMENTS_KEPT)
            return copy.read_bytes()

    def past(self) -> datetime | None:
        """Return the floor of time: a moment that has passed for certain, whatever the clock says."""
        return floor.load(self._floor_file).time

    def _seen(self) -> dict[str, Mark]:
        signed = {role: Metadata.from_file(str(self._folder / f"{role}.json")).signed for role in _ROLES}
        root = signed["root"]
        if not isinstance(root, Root) or not isinstance(signed["targets"], Targets):
            raise RepositoryError("root.json or targets.json is something else")
        return {
            role: Mark(version=this.version, keys=tuple(sorted(root.roles[role].keyids)))
            for role, this in signed.items()
        }


def require_root(raw: bytes) -> None:
    """See that this is root metadata, such as a power cut may have left empty.

    Raises:
        UntrustedError: it is not.
    """
    with _translated():
        if not isinstance(Metadata.from_bytes(raw).signed, Root):
            raise RepositoryError("it is no root metadata")


@contextmanager
def _translated() -> Iterator[None]:
    """Turn python-tuf's errors into ours."""
    try:
        yield
    except RepositoryError as error:
        reason = str(error) or type(error).__name__
        raise UntrustedError(f"the repository cannot be trusted: {reason}") from error
    except DownloadLengthMismatchError as error:
        raise UntrustedError(str(error)) from error
    except DownloadError as error:
        raise UnreachableError(str(error), final=not may_pass(error)) from error
