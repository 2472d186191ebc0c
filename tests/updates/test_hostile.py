"""What an attacker, a broken mirror or a full disk may do to a station; see also test_trust.py."""

import os
from pathlib import Path

import pytest
from tuf.api.exceptions import DownloadError

from agent.errors import UpdateError
from agent.updates import updater as updater_module
from agent.updates.course import Phase
from agent.updates.floor import UntrustedError
from agent.updates.probation import Terms
from agent.updates.release import Release, decode
from agent.updates.repository import ReleaseRepository
from agent.updates.transports.folder import Folder
from tests.integration.brokers import eventually
from tests.updates.house import Obedient, make_repository, make_trust, make_updater, release, wanted

PRESS = "model/press/1.0.0"
ENDED = (Phase.REFUSED, Phase.IDLE)


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
        updater.wish(wanted(PRESS))
        assert eventually(lambda u=updater: u.state.phase in ENDED and bool(u.state.reason), 20)
        assert not station.swaps
        biggest.write_bytes(right)
        updater.wish(wanted(PRESS))
        assert eventually(lambda u=updater: u.state.phase is Phase.COMMITTED, 20)
        updater.stop()


def test_a_part_that_was_spoilt_is_fetched_again_at_once(
    tmp_path: Path, repository: ReleaseRepository
) -> None:
    biggest = max((repository.public / "objects").iterdir(), key=lambda path: path.stat().st_size)
    partial = tmp_path / "station" / "store" / "partial" / biggest.name
    partial.parent.mkdir(parents=True)
    partial.write_bytes(bytes(3000))  # what a disk may leave after a power cut
    station = Obedient()
    updater = make_updater(tmp_path / "station", repository, station, terms=Terms(0, 0))
    updater.start()
    updater.wish(wanted(PRESS))
    assert eventually(lambda: updater.state.phase is Phase.COMMITTED, 20)
    updater.stop()
    assert [outcome.phase for outcome in station.outcomes] == [Phase.COMMITTED]
