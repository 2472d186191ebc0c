"""What an attacker, a broken mirror or a full disk may do to a station; see also test_trust.py."""

import contextlib
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tuf.api.exceptions import DownloadError

from agent.errors import UpdateError
from agent.updates import updater as updater_module
from agent.updates.actions import Parts
from agent.updates.floor import UntrustedError
from agent.updates.probation import Record, Terms
from agent.updates.release import Release, decode
from agent.updates.repository import ReleaseRepository
from agent.updates.state import Phase
from agent.updates.transports.folder import Folder
from agent.updates.updater import Updater
from tests.integration.brokers import eventually
from tests.updates.house import Obedient, make_repository, make_trust, make_updater, release, wish
from tests.updates.powercut import make_image, mounted, possible

PRESS = "model/press/1.0.0"


def has_phase(updater: Updater, phase: Phase) -> bool:
    return updater.state.phase is phase


def has_told(station: Obedient, *phases: Phase) -> bool:
    return [outcome.phase for outcome in station.outcomes] == list(phases)


def has_ended(updater: Updater, *phases: Phase) -> bool:
    return updater.state.phase in (phases or (Phase.REFUSED, Phase.IDLE)) and bool(updater.state.reason)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updater_module, "TICK_S", 0.01)


@pytest.fixture
def repository(tmp_path: Path) -> ReleaseRepository:
    repository = make_repository(tmp_path / "repository")
    release(repository, PRESS, {"model.onnx": b"weights" * 1000})
    repository.publish()
    return repository


def test_a_stick_with_links_and_pipes(tmp_path: Path, repository: ReleaseRepository) -> None:
    """A link on a USB stick must not let a station read its own secrets, hang, or read without end."""
    (tmp_path / "secret").write_text("secret")
    folder = repository.public / "objects"
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "endless").symlink_to("/dev/zero")
    (folder / "circle").symlink_to("circle")
    os.mkfifo(folder / "pipe")
    (repository.public / "up").symlink_to(tmp_path, target_is_directory=True)
    for path in ("objects/out", "objects/endless", "objects/circle", "objects/pipe", "up/secret",
                 "../secret", "/etc/hostname", "objects/", "objects/\0", "a" * 5000):  # fmt: skip
        with pytest.raises(DownloadError):
            list(Folder(repository.public).read(path))


@pytest.mark.parametrize(
    "name",
    ["../evil", "/etc/passwd", "a/../../evil", ".hidden", "a//b", "a\\b/../c", "a/", "", "a\nb", "a\0b", "ä",
     "x" * 201],
)  # fmt: skip
def test_names_that_lead_elsewhere(name: str) -> None:
    entry = {"sha256": "0" * 64, "size_bytes": 1}
    document = Release.model_construct(
        kind="model", name="press", version="1.0.0", files={"manifest.json": entry, name: entry}
    )
    with pytest.raises(UpdateError, match="files"):
        decode(Release, document.model_dump_json(warnings=False).encode(), PRESS)


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"a": 1, "a/b": 1}, "a is a file and a folder"),
        ({"big": 2**40}, "less than or equal"),
        ({"less": -1}, "greater than or equal"),
        ({f"f{number}": 1 for number in range(1001)}, "at most 1000"),
    ],
)
def test_documents_that_cannot_be(files: dict[str, int], fault: str) -> None:
    entries = {
        n: {"sha256": "0" * 64, "size_bytes": size} for n, size in {"manifest.json": 1, **files}.items()
    }
    document = Release.model_construct(kind="model", name="press", version="1.0.0", files=entries)
    with pytest.raises(UpdateError, match=fault):
        decode(Release, document.model_dump_json(warnings=False).encode(), PRESS)


def test_a_stick_that_is_pulled_out_is_waited_for(
    tmp_path: Path, repository: ReleaseRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its mount point stays, empty: that must not read as a repository that has lost its files."""
    monkeypatch.setattr(updater_module, "RECHECK_S", 0.05)
    stick, pulled, station = tmp_path / "stick", tmp_path / "pulled", Obedient()

    class Pulled(Folder):
        def read(self, path: str, offset: int = 0) -> Iterator[bytes]:
            if path.startswith("objects/") and not pulled.exists():
                stick.rename(pulled)
                stick.mkdir()
            yield from super().read(path, offset)

    updater = make_updater(tmp_path / "station", repository, station, Pulled(stick), terms=Terms(0, 0))
    repository.public.rename(stick)
    updater.start()
    updater.wish(wish(PRESS))
    assert eventually(partial(has_ended, updater))
    assert "a stick may be missing" in updater.state.reason
    stick.rmdir()
    pulled.rename(stick)
    pulled.mkdir()
    assert eventually(partial(has_told, station, Phase.COMMITTED))
    updater.stop()


def test_a_huge_document(tmp_path: Path, repository: ReleaseRepository) -> None:
    """A plant's key may sign anything, but not fill the memory of the stations that read it."""
    repository._add_target("channel/huge.json", b" " * 2**20 + b"{}", "targets")
    repository.publish()
    trust = make_trust(tmp_path / "trust", repository, Folder(repository.public))
    with pytest.raises(UntrustedError, match="too many"):
        trust.read("channel/huge.json")


def test_objects_that_are_not_what_was_signed(tmp_path: Path, repository: ReleaseRepository) -> None:
    """Longer, shorter, other: nothing of it comes into use, and the right one is taken when it is there."""
    biggest = max((repository.public / "objects").iterdir(), key=lambda path: path.stat().st_size)
    right = biggest.read_bytes()
    for wrong in (right + b"!", right[:-1], bytes(len(right)), b""):
        biggest.write_bytes(wrong)
        station = Obedient()
        updater = make_updater(tmp_path / str(len(wrong)), repository, station, terms=Terms(0, 0))
        updater.start()
        updater.wish(wish(PRESS))
        assert eventually(partial(has_ended, updater))
        assert not station.swaps
        biggest.write_bytes(right)
        updater.wish(wish(PRESS))
        assert eventually(partial(has_ended, updater, Phase.COMMITTED))
        updater.stop()


def test_a_part_that_was_spoilt_is_fetched_again_at_once(
    tmp_path: Path, repository: ReleaseRepository
) -> None:
    biggest = max((repository.public / "objects").iterdir(), key=lambda path: path.stat().st_size)
    begun = tmp_path / "station" / "store" / "partial" / biggest.name
    begun.parent.mkdir(parents=True)
    begun.write_bytes(bytes(3000))  # what a disk may leave after a power cut
    station = Obedient()
    updater = make_updater(tmp_path / "station", repository, station, terms=Terms(0, 0))
    updater.start()
    updater.wish(wish(PRESS))
    assert eventually(partial(has_told, station, Phase.COMMITTED))
    updater.stop()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MiB: a real ext4."""
    if not possible():
        pytest.skip("needs root, loop devices and mkfs.ext4")
    make_image(tmp_path / "image")
    with mounted(tmp_path / "image", tmp_path / "disk") as disk:
        yield disk


def fill(disk: Path) -> Path:
    """Let somebody else's file take all that is left."""
    hog = disk / "hog"
    descriptor = os.open(hog, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.sync()  # what was removed is free only when the journal says so
        for size in (2**20, 2**12, 1):
            with contextlib.suppress(OSError):
                while os.write(descriptor, bytes(size)):
                    pass
    finally:
        os.close(descriptor)
    return hog


def test_somebody_fills_the_disk_while_a_bundle_arrives(
    repository: ReleaseRepository, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updater_module, "RETRY_S", 0.05)
    monkeypatch.setattr(updater_module, "RECHECK_S", 0.05)
    hogs: list[Path] = []

    class Hogging(Folder):
        def read(self, path: str, offset: int = 0) -> Iterator[bytes]:
            if path.startswith("objects/") and not hogs:
                hogs.append(fill(disk))
            yield from super().read(path, offset)

    release(repository, "model/press/2.0.0", {"model.onnx": os.urandom(300_000)})
    repository.publish()
    station = Obedient()
    way = Hogging(repository.public)
    updater = make_updater(disk / "station", repository, station, way, terms=Terms(0, 0))
    updater.start()
    updater.wish(wish("model/press/2.0.0"))
    assert eventually(lambda: bool(hogs))
    assert not eventually(lambda: bool(station.swaps), 0.5)
    hogs[0].unlink()
    assert eventually(partial(has_ended, updater, Phase.COMMITTED))
    updater.stop()


def test_a_full_disk_does_not_keep_a_bad_bundle_in_use(
    repository: ReleaseRepository, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updater_module, "RETRY_S", 0.05)

    class Hogged(Obedient):
        def swap(self, parts: Parts) -> None:
            if self.swaps:
                fill(disk)  # the link that was put back has left a block
            super().swap(parts)

    station = Hogged()
    updater = make_updater(disk / "station", repository, station, terms=Terms(60, 5))
    updater.start()
    updater.wish(wish(PRESS))
    assert eventually(partial(has_phase, updater, Phase.PROBATION))
    hog = fill(disk)
    updater.observe(Record(10, engine_errors=3))
    assert eventually(lambda: len(station.swaps) == 2)
    assert updater.parts.model is None
    assert not station.outcomes  # nothing is said before it is written
    hog.unlink()
    assert eventually(partial(has_phase, updater, Phase.ROLLED_BACK))
    assert eventually(lambda: bool(station.outcomes))
    updater.stop()
