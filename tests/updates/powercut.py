"""A station on a disk of its own, an ext4 image, whose power can be cut.

What is in the image's backing file is what a disk would hold if the power went now; the rest is in memory. So
a copy of that file, made while the writer stands still, is the disk after a power cut.
"""

import filecmp
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.updates import state_file
from agent.updates.repository import ReleaseRepository
from agent.updates.state import Phase
from tests.updates.faults import in_child, update
from tests.updates.house import release
from tests.updates.test_faults import digest_in_use

IMAGE_BYTES = 24 * 2**20
RELEASES = 40
"""Before a station begins anew."""


def possible() -> bool:
    """Whether this machine lets us mount images."""
    tools = all(shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin") for tool in ("mkfs.ext4", "mount"))
    return os.geteuid() == 0 and tools and Path("/dev/loop-control").exists()


def make_image(image: Path) -> None:
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)


@contextmanager
def mounted(image: Path, folder: Path) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def publish_releases(repository: ReleaseRepository) -> None:
    for number in range(1, RELEASES + 1):
        files = {"model.onnx": random.Random(number).randbytes(200_000), "tokens.json": b"the same" * 5000}
        release(repository, f"model/press/{number}.0.0", files)
        release(repository, f"grammar/press/{number}.0.0")
    repository.publish()


def cut_once(
    work: Path, repository: ReleaseRepository, image: Path, number: int, after_s: float
) -> tuple[Path, str]:
    """Update to release `number`, cut the power after some time, check; give that disk, and what was in use.

    Raises:
        AssertionError: something was torn, lost, or a lie.
    """
    wanted = (f"model/press/{number}.0.0", f"grammar/press/{number}.0.0")
    cut = image.with_name(f"cut-{number}-{random.getrandbits(32)}.img")
    with mounted(image, work / "live") as disk:
        old = digest_in_use(disk / "station") if (disk / "station").exists() else None
        child = os.fork()
        if child == 0:
            try:
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, 1)
                os.dup2(null, 2)
                update(disk / "station", repository, wanted, disk / "diary")
            finally:
                os._exit(0)
        _write_beside(disk / "journal", after_s)
        os.kill(child, signal.SIGSTOP)
        _copy_at_one_moment(image, cut)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    with mounted(cut, work / "after") as disk:
        found = digest_in_use(disk / "station") if (disk / "station" / "store").exists() else None
        state = state_file.load(disk / "station")
        if state.phase in (Phase.COMMITTED, Phase.IDLE):
            assert state.active == found, "it lies about what runs"
        assert in_child(lambda: _finish(disk, repository, wanted), work / "log") == 0
        new = digest_in_use(disk / "station")
        state = state_file.load(disk / "station")
        assert set(map(str, state.running)) == set(wanted), (work / "log").read_text()[-2000:]
        assert state.active == new
        assert found in (old, new), "neither the old nor the new bundle"
        told = {int(line.split()[0]) for line in (disk / "diary").read_text().splitlines()}
        assert told == set(range(1, state.count + 1)), f"outcomes lost: {told} of {state.count}"
    return cut, "new" if found == new else "old"


def _copy_at_one_moment(image: Path, cut: Path) -> None:
    """Copy again until nothing was written meanwhile: no disk holds an old block beside a much later one."""
    while True:
        shutil.copyfile(image, cut)
        if filecmp.cmp(image, cut, shallow=False):
            return


def _write_beside(file: Path, seconds: float) -> None:
    """Sync a file of others for a while: names go to the disk with it, not what others wrote into files.

    Without this the disk would hold little but what was synced on purpose, and a missing fsync not show.
    """
    end_s = time.monotonic() + seconds
    with file.open("ab") as journal:
        while time.monotonic() < end_s:
            journal.write(b"a line of somebody else\n")
            journal.flush()
            os.fdatasync(journal.fileno())
            time.sleep(0.003)


def _finish(disk: Path, repository: ReleaseRepository, wanted: tuple[str, ...]) -> int:
    update(disk / "station", repository, wanted, disk / "diary")
    return 0


def cut_often(work: Path, repository: ReleaseRepository, cuts: int, seed: int) -> dict[str, int]:
    """Cut the power at random points of repeated updates; count which bundle was in use after each."""
    rng = random.Random(seed)
    counts = {"old": 0, "new": 0}
    image, number = work / "fresh.img", RELEASES
    full_s = 0.5
    for _ in range(cuts):
        number += 1
        if number > RELEASES:
            image.unlink(missing_ok=True)
            number, image = 1, work / "fresh.img"
            make_image(image)
            full_s = _time_one(work / "trial", repository)
        after, what = cut_once(work, repository, image, number, rng.uniform(0, 2.5 * full_s))
        image.unlink()
        image = after
        counts[what] += 1
    image.unlink()
    return counts


def _time_one(folder: Path, repository: ReleaseRepository) -> float:
    """How long an undisturbed update takes, in seconds."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    start_s = time.monotonic()
    assert in_child(lambda: _finish(folder, repository, ("model/press/1.0.0", "grammar/press/1.0.0"))) == 0
    return time.monotonic() - start_s
