"""Attacks on a repository, each refused; and the five gaps of python-tuf, each shown to be closed."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner, Key
from tuf.api.metadata import Metadata, Targets, Timestamp

from agent.updates import floor
from agent.updates import trust as trust_module
from agent.updates.floor import UntrustedError
from agent.updates.keys import make_key
from agent.updates.repository import ReleaseRepository
from agent.updates.transports.folder import Folder
from agent.updates.transports.transport import Timeouts, UnreachableError
from agent.updates.trust import Trust
from tests.updates.house import make_repository, make_trust, release

KEYS = "repository-keys"


@pytest.fixture
def repository(tmp_path: Path) -> ReleaseRepository:
    repository = make_repository(tmp_path / "repository")
    release(repository, "model/press/1.0.0")
    repository.publish()
    return repository


@pytest.fixture
def trust(tmp_path: Path, repository: ReleaseRepository) -> Trust:
    return make_trust(tmp_path / "trust", repository, Folder(repository.public))


def snapshot_of(repository: ReleaseRepository, name: str) -> Path:
    """Keep what a repository says today, to replay it later."""
    copy = repository.public.with_name(name)
    shutil.copytree(repository.public, copy)
    return copy


def replay(old: Path, repository: ReleaseRepository, *names: str) -> None:
    for name in names:
        shutil.copy(old / "metadata" / name, repository.public / "metadata" / name)


def resign_timestamp(repository: ReleaseRepository, change: object, key: Path | None = None) -> None:
    path = repository.public / "metadata" / "timestamp.json"
    metadata = Metadata[Timestamp].from_file(str(path))
    change(metadata.signed)  # type: ignore[operator]
    key = key or repository.public.parent.with_name(KEYS) / "timestamp.pem"
    signer = CryptoSigner.from_priv_key_uri(f"file2:{key}", next(iter(_keys(repository, "timestamp"))))
    metadata.sign(signer)
    metadata.to_file(str(path))


def _keys(repository: ReleaseRepository, role: str) -> Iterator[Key]:
    root = repository.root()
    return (root.keys[keyid] for keyid in root.roles[role].keyids)


def test_a_good_repository_is_believed(trust: Trust) -> None:
    trust.refresh()
    raw = trust.read("model/press/1.0.0.json")
    assert raw
    assert json.loads(raw)["version"] == "1.0.0"
    assert trust.read("model/press/9.9.9.json") is None


def test_rollback_of_the_timestamp(trust: Trust, repository: ReleaseRepository) -> None:
    old = snapshot_of(repository, "old")
    repository.publish()
    trust.refresh()
    replay(old, repository, "timestamp.json")
    with pytest.raises(UntrustedError, match="version"):
        trust.refresh()


def test_freeze_while_the_clock_stands_in_the_past(tmp_path: Path, repository: ReleaseRepository) -> None:
    """A board without a battery wakes up years ago, and an attacker shows it what was true then."""
    now = datetime.now(UTC)
    clock = now - timedelta(days=3000)
    past = make_trust(tmp_path, repository, Folder(repository.public), now=lambda: clock)
    past.refresh()
    known = floor.load(tmp_path / "floor.json")
    expires = now + timedelta(days=31)
    floor.save(tmp_path / "floor.json", known.model_copy(update={"time": expires}))
    with pytest.raises(UntrustedError, match=r"timestamp.json is expired"):
        past.refresh()


def test_freeze_of_a_plant_while_the_clock_stands_in_the_past(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repository")
    repository.delegate("lyon", ["grammar/lyon-*/*"], [make_key(tmp_path / "lyon.pem")])
    release(repository, "grammar/lyon-press/1.0.0", role="lyon")
    repository.publish()
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    path = max((repository.public / "metadata").glob("*.lyon.json"))
    metadata = Metadata[Targets].from_file(str(path))
    metadata.signed.expires = expires
    metadata.sign(CryptoSigner.from_priv_key_uri(f"file2:{tmp_path / 'lyon.pem'}", lyon_key(repository)))
    metadata.to_file(str(path))
    trust = make_trust(tmp_path / "trust", repository, Folder(repository.public))
    assert trust.read("grammar/lyon-press/1.0.0.json")
    floor_file = tmp_path / "trust" / "floor.json"
    known = floor.load(floor_file)
    floor.save(floor_file, known.model_copy(update={"time": expires + timedelta(seconds=1)}))
    trust.refresh()
    with pytest.raises(UntrustedError, match=r"lyon is expired"):
        trust.read("grammar/lyon-press/1.0.0.json")


def lyon_key(repository: ReleaseRepository) -> Key:
    path = max((repository.public / "metadata").glob("*.targets.json"))
    delegations = Metadata[Targets].from_file(str(path)).signed.delegations
    assert delegations
    return next(iter(delegations.keys.values()))


def test_freeze_by_expired_metadata(trust: Trust, repository: ReleaseRepository) -> None:
    def expire(timestamp: Timestamp) -> None:
        timestamp.expires = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
        timestamp.version += 1

    resign_timestamp(repository, expire)
    with pytest.raises(UntrustedError, match="expired"):
        trust.refresh()


def test_mix_and_match(trust: Trust, repository: ReleaseRepository) -> None:
    """An old snapshot or old targets under a new timestamp."""
    old = snapshot_of(repository, "old")
    release(repository, "model/press/2.0.0")
    repository.publish()
    newest = sorted((repository.public / "metadata").glob("*.snapshot.json"))[-1]
    oldest = sorted((old / "metadata").glob("*.snapshot.json"))[-1]
    kept = newest.read_bytes()
    shutil.copy(oldest, newest)
    with pytest.raises(UntrustedError):
        trust.refresh()
    newest.write_bytes(kept)
    targets = sorted((repository.public / "metadata").glob("*.targets.json"))
    shutil.copy(targets[0], targets[-1])
    with pytest.raises(UntrustedError):
        trust.refresh()


def test_forged_by_another_key(trust: Trust, repository: ReleaseRepository) -> None:
    forged = CryptoSigner.generate_ed25519()
    path = repository.public / "metadata" / "timestamp.json"
    metadata = Metadata[Timestamp].from_file(str(path))
    metadata.signed.version += 1
    metadata.sign(forged)
    metadata.to_file(str(path))
    with pytest.raises(UntrustedError, match="signed by 0/1"):
        trust.refresh()


def test_a_document_that_was_changed(trust: Trust, repository: ReleaseRepository) -> None:
    path = next((repository.public / "targets" / "model" / "press").iterdir())
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"1.0.0", b"6.6.6"))
    with pytest.raises(UntrustedError):
        trust.read("model/press/1.0.0.json")


def test_endless_data(repository: ReleaseRepository, tmp_path: Path) -> None:
    class Endless(Folder):
        served = 0

        def read(self, path: str, offset: int = 0) -> Iterator[bytes]:
            if "timestamp" not in path:
                yield from super().read(path, offset)
            while "timestamp" in path:
                self.served += 10_000
                yield b"x" * 10_000

    endless = Endless(repository.public)
    with pytest.raises(UntrustedError, match="maximum"):
        make_trust(tmp_path / "trust", repository, endless).refresh()
    assert endless.served < 100_000


def test_slow_retrieval(repository: ReleaseRepository, tmp_path: Path) -> None:
    class Drip(Folder):
        def read(self, path: str, offset: int = 0) -> Iterator[bytes]:
            for chunk in super().read(path, offset):
                for index in range(len(chunk)):
                    time.sleep(0.02)
                    yield chunk[index : index + 1]

    drip = Drip(repository.public, Timeouts(grace_s=0.2, min_bytes_per_s=1000, tries=1))
    start_s = time.monotonic()
    with pytest.raises(UnreachableError, match="too slow"):
        make_trust(tmp_path / "trust", repository, drip).refresh()
    assert time.monotonic() - start_s < 2


@pytest.mark.parametrize("page", [b"<html>Please log in</html>", b"", b"{}", b"[" * 100_000, b"\xff\xfe"])
def test_a_portal_answers_instead(trust: Trust, repository: ReleaseRepository, page: bytes) -> None:
    (repository.public / "metadata" / "timestamp.json").write_bytes(page)
    with pytest.raises(UntrustedError):
        trust.refresh()


def test_nobody_there(trust: Trust, repository: ReleaseRepository) -> None:
    shutil.rmtree(repository.public / "metadata")
    with pytest.raises(UnreachableError) as caught:
        trust.refresh()
    assert caught.value.final
    shutil.rmtree(repository.public)
    with pytest.raises(UnreachableError, match="stick") as caught:
        trust.refresh()
    assert not caught.value.final  # somebody may put it in again


def test_stolen_online_keys_can_be_recovered_from(
    trust: Trust, repository: ReleaseRepository, tmp_path: Path
) -> None:
    """A thief signs version 2**31; with new keys versions begin anew, and the floor lets them."""

    def jump(timestamp: Timestamp) -> None:
        timestamp.version = 2**31

    resign_timestamp(repository, jump)
    trust.refresh()
    uri = make_key(tmp_path / "new.pem")
    repository.rotate("timestamp", [uri])
    repository.rotate("snapshot", [uri])
    (repository.public / "metadata" / "timestamp.json").unlink()
    for path in (repository.public.parent / "staged").glob("timestamp.json"):
        path.unlink()
    repository.publish()
    trust.refresh()
    known = floor.load(tmp_path / "trust" / "floor.json")
    assert known.roles["timestamp"].version < 100


def test_the_root_never_goes_back(trust: Trust, repository: ReleaseRepository, tmp_path: Path) -> None:
    old = snapshot_of(repository, "old")
    repository.rotate("root", [make_key(tmp_path / "root2.pem")])
    repository.publish()
    trust.refresh()
    shutil.rmtree(tmp_path / "trust" / "metadata")
    with pytest.raises(UntrustedError, match=r"root.json went back from version 2 to 1"):
        make_trust(tmp_path / "trust", repository, Folder(old)).refresh()


def test_a_damaged_floor_begins_anew(trust: Trust, tmp_path: Path) -> None:
    trust.refresh()
    (tmp_path / "trust" / "floor.json").write_bytes(b"\0" * 50)
    trust.refresh()
    assert floor.load(tmp_path / "trust" / "floor.json").roles["targets"].version == 2


def test_a_floor_that_the_disk_does_not_give_back_begins_anew(trust: Trust, tmp_path: Path) -> None:
    trust.refresh()
    file = tmp_path / "trust" / "floor.json"
    file.unlink()
    file.symlink_to("/proc/self/mem")  # to read there is an I/O error
    trust.refresh()
    assert not file.is_symlink()
    assert trust.past()


def test_documents_do_not_pile_up(
    trust: Trust, repository: ReleaseRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust_module, "DOCUMENTS_KEPT", 3)
    for number in range(5):
        release(repository, f"model/many/{number}.0.0")
    repository.publish()
    trust.refresh()
    for number in range(5):
        assert trust.read(f"model/many/{number}.0.0.json")
        future = 2**31 - number  # a clock that goes back: what came last looks oldest
        for path in (tmp_path / "trust" / "documents").iterdir():
            os.utime(path, (future, future))
    assert len(list((tmp_path / "trust" / "documents").iterdir())) == 3
    assert trust.read("model/many/0.0.0.json")


def test_a_clock_that_runs_ahead_raises_the_floor_only_while_metadata_lives(
    tmp_path: Path, repository: ReleaseRepository
) -> None:
    now = datetime.now(UTC)

    def run_at(clock: datetime) -> datetime | None:
        trust = make_trust(tmp_path, repository, Folder(repository.public), now=lambda: clock)
        trust.refresh()
        return trust.past()

    with pytest.raises(UntrustedError, match="is expired"):
        run_at(now + timedelta(days=20_000))
    risen = run_at(now + timedelta(days=1))
    assert risen == now + timedelta(days=1)
    assert run_at(now) == risen
