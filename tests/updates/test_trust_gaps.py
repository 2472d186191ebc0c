"""What python-tuf leaves open, see `agent.updates.trust`, and that it is closed.

1. No fsync: what it wrote is synced before the floor is raised and anything is used.
2. root.json is taken away, then linked.
3. Downloads neither resume nor appear whole: see test_download.py; documents appear whole.
4. With torn copies it takes v2 after v5.
"""

import os
import shutil
from pathlib import Path

import pytest
from tuf.ngclient import Updater

from agent import durable
from agent.updates import floor
from agent.updates.floor import UntrustedError
from agent.updates.repository import ReleaseRepository
from agent.updates.transports.folder import Folder
from agent.updates.trust import Trust
from tests.updates.house import make_repository, make_trust, root_of
from tests.updates.test_trust import repository, snapshot_of, trust

__all__ = ["repository", "trust"]


def test_metadata_is_synced_before_it_is_used(trust: Trust, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    sync, rename = os.fsync, os.replace

    def note_sync(descriptor: int) -> None:
        order.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        sync(descriptor)

    def note_rename(source: str, target: str) -> None:
        order.append(f"rename {Path(target).name}")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_rename)
    trust.refresh()
    last_rename = max(index for index, step in enumerate(order) if step.startswith("rename"))
    floor_at = order.index("sync floor.json.partial")
    synced = set(order[last_rename:floor_at])
    assert {"sync timestamp.json", "sync snapshot.json", "sync targets.json", "sync metadata"} <= synced


@pytest.mark.parametrize(
    "names", [["timestamp.json"], ["snapshot.json"], ["targets.json"], ["timestamp.json", "snapshot.json"]]
)
def test_torn_copies_read_as_none(trust: Trust, tmp_path: Path, names: list[str]) -> None:
    trust.refresh()
    for name in names:
        (tmp_path / "trust" / "metadata" / name).write_bytes(b"")
    trust.refresh()


def test_without_root_json_the_shipped_root_holds(trust: Trust, tmp_path: Path) -> None:
    trust.refresh()
    (tmp_path / "trust" / "metadata" / "root.json").unlink()
    trust.refresh()


def test_a_planted_root_json_is_not_believed(trust: Trust, tmp_path: Path) -> None:
    """Alone python-tuf takes what lies in its folder as the beginning of all trust."""
    evil = make_repository(tmp_path / "evil")
    trust.refresh()
    folder = tmp_path / "trust" / "metadata"
    (folder / "root.json").unlink()
    (folder / "root.json").write_bytes(root_of(evil))
    trust.refresh()
    assert (folder / "root.json").read_bytes() != root_of(evil)


def test_a_document_appears_whole_or_not(
    trust: Trust, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: object) -> None:
        raise OSError(5, "power cut")

    monkeypatch.setattr(durable, "move", cut)
    trust._updater = None
    with monkeypatch.context() as patch:
        patch.setattr(floor, "save", lambda *_: None)
        with pytest.raises(OSError, match="power cut"):
            trust.read("model/press/1.0.0.json")
    assert [path.suffix for path in (tmp_path / "trust" / "documents").iterdir()] == [".partial"]


def test_torn_copies_and_an_older_repository(
    trust: Trust, repository: ReleaseRepository, tmp_path: Path
) -> None:
    old = snapshot_of(repository, "old")
    for _ in range(3):
        repository.publish()
    trust.refresh()
    folder = tmp_path / "trust" / "metadata"
    for name in ("timestamp.json", "snapshot.json"):
        (folder / name).write_bytes(b"")
    before = floor.load(tmp_path / "trust" / "floor.json")
    alone = tmp_path / "alone"
    shutil.copytree(folder, alone, symlinks=True)
    # python-tuf alone believes it: this is the gap.
    Updater(
        str(alone),
        "metadata/",
        target_base_url="targets/",
        fetcher=Folder(old),
        bootstrap=root_of(repository),
    ).refresh()
    with pytest.raises(UntrustedError, match="went back from version 5 to 2"):
        make_trust(tmp_path / "trust", repository, Folder(old)).refresh()
    assert floor.load(tmp_path / "trust" / "floor.json") == before
