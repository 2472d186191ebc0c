import errno
import hashlib
from pathlib import Path

import pytest

from agent.acoustics.manifest import FileEntry
from agent.errors import UpdateError
from agent.updates import store as store_module
from agent.updates.release import Kind, Release, digest_of
from agent.updates.store import Store


def make(store: Store, version: str, **files: bytes) -> tuple[Release, str]:
    """Let the files of a release arrive, and build its slot."""
    contents = {"grammar.yaml": version.encode(), **files}
    entries = {n: FileEntry(sha256=digest_of(raw), size_bytes=len(raw)) for n, raw in contents.items()}
    release = Release(kind=Kind.GRAMMAR, name="press", version=version, files=entries)
    for raw in contents.values():
        if digest_of(raw) in {entry.sha256 for entry in store.missing([release])}:
            store.partial(digest_of(raw)).write_bytes(raw)
            store.accept(FileEntry(sha256=digest_of(raw), size_bytes=len(raw)))
    return release, store.build({Kind.GRAMMAR: release.encode()})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, 0)


def test_a_file_that_two_releases_share_is_kept_once(store: Store, tmp_path: Path) -> None:
    _, first = make(store, "1.0.0", big=b"the same" * 1000)
    release, second = make(store, "2.0.0", big=b"the same" * 1000)
    paths = [tmp_path / "slots" / slot / "grammar" / "big" for slot in (first, second)]
    assert paths[0].stat().st_ino == paths[1].stat().st_ino
    assert store.missing([release]) == []


def test_the_link_leads_to_the_slot_in_use(store: Store, tmp_path: Path) -> None:
    assert store.active() is None
    _, slot = make(store, "1.0.0")
    store.activate(slot)
    assert store.active() == slot
    assert (tmp_path / "current" / "grammar" / "grammar.yaml").read_text() == "1.0.0"
    store.activate(None)
    assert store.active() is None
    with pytest.raises(UpdateError, match="no such slot"):
        store.activate("f" * 64)


def test_what_is_not_what_it_should_be_is_thrown_away(store: Store) -> None:
    entry = FileEntry(sha256=digest_of(b"right"), size_bytes=5)
    store.partial(entry.sha256).write_bytes(b"wrong")
    with pytest.raises(UpdateError, match="another file"):
        store.accept(entry)
    assert not store.partial(entry.sha256).exists()


def test_a_disk_that_forgets_is_not_believed(store: Store, tmp_path: Path) -> None:
    release, slot = make(store, "1.0.0", big=b"weights")
    path = tmp_path / "slots" / slot / "grammar" / "big"
    path.chmod(0o644)
    path.write_bytes(b"rotten!")
    with pytest.raises(UpdateError, match="damaged"):
        store.build({Kind.GRAMMAR: release.encode()})
    assert [entry.size_bytes for entry in store.missing([release])] == [7]


def test_what_a_disk_does_not_give_back_is_fetched_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, _ = make(store, "1.0.0")

    def on_bad_sectors(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(hashlib, "file_digest", on_bad_sectors)
    with pytest.raises(UpdateError, match="will be fetched again"):
        store.build({Kind.GRAMMAR: release.encode()})
    assert len(store.missing([release])) == 1


@pytest.mark.parametrize("torn", [b"", b'{"kind"', None])
def test_a_slot_whose_documents_are_not_those_it_was_built_of_is_none(
    torn: bytes | None, store: Store, tmp_path: Path
) -> None:
    """Without its document the grammar of a slot would pass for one that the settings name."""
    release, slot = make(store, "1.0.0")
    document = tmp_path / "slots" / slot / "grammar.json"
    document.unlink()
    if torn is not None:
        document.write_bytes(torn)
    for use in (store.activate, store.documents, lambda slot: store.part(slot, Kind.GRAMMAR)):
        with pytest.raises(UpdateError, match="documents are damaged"):
            use(slot)
    assert store.active() is None
    assert store.build({Kind.GRAMMAR: release.encode()}) == slot
    assert store.documents(slot) == {Kind.GRAMMAR: release.encode()}


def test_old_slots_go_but_never_those_that_are_needed(store: Store, tmp_path: Path) -> None:
    slots = [make(store, f"{number}.0.0", own=bytes([number]) * 50)[1] for number in range(1, 7)]
    store.activate(slots[0])
    (tmp_path / "slots" / "half.partial").mkdir()
    (tmp_path / "partial" / "begun").write_bytes(b"abc")
    store.prune(keep=[slots[1]])
    left = {path.name for path in (tmp_path / "slots").iterdir()}
    assert {slots[0], slots[1]} <= left
    assert len(left) == store_module.SLOTS_KEPT
    assert all(path.stat().st_nlink > 1 for path in (tmp_path / "objects").iterdir())
    assert not list((tmp_path / "partial").iterdir())


def test_the_reserve_is_looked_at_before_the_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path, reserve_bytes=1000)
    monkeypatch.setattr(store, "_free_bytes", lambda: 1400)
    entry = FileEntry(sha256="a" * 64, size_bytes=500)
    release = Release(kind=Kind.GRAMMAR, name="press", version="1.0.0", files={"grammar.yaml": entry})
    with pytest.raises(UpdateError, match="100 bytes short"):
        store.require_space([release], keep=[])
    store.partial("a" * 64).write_bytes(bytes(150))
    store.require_space([release], keep=[])


def test_old_slots_make_room_but_not_what_has_arrived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path, reserve_bytes=0)
    slots = [make(store, f"{number}.0.0")[1] for number in range(1, 4)]
    store.activate(slots[2])
    entry = FileEntry(sha256=digest_of(b"new"), size_bytes=3)
    release = Release(kind=Kind.GRAMMAR, name="press", version="9.0.0", files={"grammar.yaml": entry})
    store.partial(entry.sha256).write_bytes(b"ne")
    free = iter([0, 10])
    monkeypatch.setattr(store, "_free_bytes", lambda: next(free))
    store.require_space([release], keep=[slots[1]])
    assert {path.name for path in (tmp_path / "slots").iterdir()} == set(slots[1:])
    assert store.partial(entry.sha256).exists()
