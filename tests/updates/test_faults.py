"""At every step of an update the process dies or the disk fails: nothing is lost, nobody lies."""

import os
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from agent.updates import state_file
from agent.updates.release import Kind, Release, decode, slot_digest
from agent.updates.repository import ReleaseRepository
from agent.updates.state import Phase
from agent.updates.store import Store
from tests.updates.faults import ERRORS, KILLED, FailingDisk, in_child, steps_of, update
from tests.updates.house import make_repository, release

OLD = ("model/press/1.0.0", "grammar/press/1.0.0")
NEW = ("model/press/2.0.0", "grammar/press/2.0.0")
EVERY = int(os.environ.get("VOXLINE_FAULT_STRIDE", "6"))
"""Steps from one fault to the next; `python -m tests.soak.updates faults` takes each."""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> ReleaseRepository:
    repository = make_repository(tmp_path_factory.mktemp("release") / "repository")
    for number in (1, 2):
        shared = {"tokens.json": b"the same in both" * 100}
        release(repository, f"model/press/{number}.0.0", {"model.onnx": bytes([number]) * 5000, **shared})
        release(repository, f"grammar/press/{number}.0.0")
    repository.publish()
    return repository


@pytest.fixture(scope="module")
def installed(repository: ReleaseRepository, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A station that runs the old releases."""
    folder = tmp_path_factory.mktemp("installed") / "station"
    assert update(folder, repository, OLD).state.phase is Phase.COMMITTED
    return folder


def digest_in_use(folder: Path) -> str | None:
    """Check that what the link names is whole, and return it."""
    slot = Store(folder / "store", 0).active()
    if slot is None:
        return None
    place = folder / "store" / "slots" / slot
    documents = {kind: (place / f"{kind}.json").read_bytes() for kind in Kind}
    assert slot == slot_digest(documents)
    for kind, raw in documents.items():
        for name, entry in decode(Release, raw, kind).files.items():
            assert sha256((place / kind / name).read_bytes()).hexdigest() == entry.sha256
    return slot


def check_after(folder: Path, repository: ReleaseRepository, old: str, new: str, diary: Path) -> None:
    """What holds after a fault, before and after the station starts again."""
    in_use = digest_in_use(folder)
    assert in_use in (old, new), "neither the old nor the new bundle"
    state = state_file.load(folder)
    if state.phase in (Phase.COMMITTED, Phase.IDLE):
        assert state.active == in_use, "it lies about what runs"
    after = update(folder, repository, NEW, diary)
    assert after.state.phase is Phase.COMMITTED
    assert digest_in_use(folder) == after.state.active == new
    told = {line.split()[0]: line.split()[1:3] for line in diary.read_text().splitlines()}
    assert list(told.values()) == [["committed", new]], f"the plant was told {told}"


@pytest.mark.parametrize("how", ["kill", *ERRORS])
def test_a_fault_at_every_step(
    how: str, repository: ReleaseRepository, installed: Path, tmp_path: Path
) -> None:
    old = digest_in_use(installed)
    shutil.copytree(installed, tmp_path / "trial" / "station", symlinks=True)
    steps = steps_of(tmp_path / "trial" / "station", repository, NEW)
    new = digest_in_use(tmp_path / "trial" / "station")
    assert old
    assert new
    assert old != new
    assert steps > 100
    offset = {"kill": 0, "EIO": 1, "ENOSPC": 2}[how]
    for step in range(1 + offset % EVERY, steps + 1, EVERY):
        folder, diary = tmp_path / str(step) / "station", tmp_path / str(step) / "diary"
        shutil.copytree(installed, folder, symlinks=True)
        diary.touch()

        def task(folder: Path = folder, diary: Path = diary, step: int = step) -> int:
            # A dying process ends at the step; a dying disk fails there and for a while after.
            failing = range(step, step + 1) if how == "kill" else range(step, step + 3)
            FailingDisk(folder, failing.__contains__, how if how == "kill" else ERRORS[how])
            update(folder, repository, NEW, diary)
            return 0

        code = in_child(task)
        assert code == (KILLED if how == "kill" else 0), f"step {step} of {steps}: {code}"
        try:
            check_after(folder, repository, old, new, diary)
        except AssertionError as error:
            raise AssertionError(f"{how} at step {step} of {steps}: {error}") from error
        shutil.rmtree(folder.parent)
