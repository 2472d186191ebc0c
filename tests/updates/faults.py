"""A disk that fails at a chosen step: every change of a file below a folder is a step.

Python tells an audit hook of each open for writing, rename, link, unlink, chmod, mkdir and rmdir before it
happens; fsync and write, which it does not tell of, are wrapped. A write that fails has written half.
"""

import builtins
import errno
import io
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from agent.updates import updater as updater_module
from agent.updates.probation import Terms
from agent.updates.repository import ReleaseRepository
from agent.updates.state import RESTING, Phase
from agent.updates.updater import Updater
from tests.updates.house import Obedient, make_updater, wanted, wish

KILLED = 9
_CHANGES = {"open", "os.rename", "os.remove", "os.link", "os.symlink", "os.mkdir", "os.rmdir", "os.chmod"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class FailingDisk:
    """Counts steps and fails at some; installed once in a process and for good, so use it in a child.

    Args:
        folder: of which changes count.
        fails: asked with the number of each step, from 1 on.
        how: "kill" ends the process, a number is raised as an OSError.
    """

    def __init__(self, folder: Path, fails: Callable[[int], bool], how: str | int) -> None:
        self.steps = 0
        self._folder, self._fails, self._how = str(folder), fails, how
        self._fsync = os.fsync
        self._open = io.open
        os.fsync = self._sync  # type: ignore[assignment]
        builtins.open = io.open = self._open_counted
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _CHANGES or (event == "open" and not (arguments[2] or 0) & _WRITING):
            return
        path = arguments[1] if event == "os.symlink" else arguments[0]
        if self._is_mine(path):
            self._step()

    def _sync(self, descriptor: int) -> None:
        if self._is_mine(descriptor):
            self._step()
        self._fsync(descriptor)

    def _open_counted(self, file: Any, mode: str = "r", *others: Any, **named: Any) -> Any:
        if not set(mode) & set("wax+") or not self._is_mine(file):
            return self._open(file, mode, *others, **named)
        return io.BufferedWriter(_CountedFile(self, file, mode.replace("b", ""), named.get("opener")))

    def write(self, data: bytes, write: Callable[[bytes], int]) -> int:
        """Write, or write half and fail."""
        self._step(lambda: write(data[: len(data) // 2]))
        return write(data)

    def _is_mine(self, file: Any) -> bool:
        if isinstance(file, int):
            file = Path(f"/proc/self/fd/{file}").readlink()
        return isinstance(file, str | bytes | os.PathLike) and os.fsdecode(file).startswith(self._folder)

    def _step(self, before: Callable[[], object] = lambda: None) -> None:
        self.steps += 1
        if not self._fails(self.steps):
            return
        before()
        if self._how == "kill":
            os._exit(KILLED)
        raise OSError(self._how, os.strerror(int(self._how)))


class _CountedFile(io.FileIO):
    """A file whose every write is a step."""

    def __init__(self, disk: FailingDisk, file: Any, mode: str, opener: Any) -> None:
        super().__init__(file, mode, opener=opener)
        self._disk = disk

    def write(self, data: Any) -> int:
        return self._disk.write(bytes(data), super().write)


def in_child(task: Callable[[], int], output: Path = Path(os.devnull)) -> int:
    """Run a task in a child process that writes its log to `output`; return its result, or KILLED."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            log = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            code = task()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def update(
    folder: Path, repository: ReleaseRepository, references: tuple[str, ...], diary: Path | None = None
) -> Updater:
    """Bring a station to some releases in this process; return when it is done.

    Every outcome is written to the diary, as an outbox would.
    """
    with patch.multiple(updater_module, TICK_S=0.002, RETRY_S=0.002, RECHECK_S=0.002):
        station = Obedient()
        updater = make_updater(folder, repository, station, terms=Terms(0, 0))
        if diary:
            note(diary, station)
        updater.start()
        if updater.state.wanted != wanted(*references):  # else it goes on by itself
            updater.wish(wish(*references))
        deadline_s = time.monotonic() + 20
        while time.monotonic() < deadline_s:
            state = updater.state
            done = state.phase in RESTING - {Phase.IDLE} and state.wanted == wanted(*references)
            if done and set(state.running) >= set(wanted(*references).releases) and not state.outcomes:
                break
            time.sleep(0.002)
        updater.stop()
    return updater


def note(diary: Path, station: Obedient) -> None:
    """Let a station write its outcomes down at once, to stay."""

    def conclude(outcome: Any) -> bool:
        with diary.open("a") as file:
            file.write(f"{outcome.id} {outcome.phase} {outcome.slot} {outcome.reason}\n")
            file.flush()
            os.fsync(file.fileno())
        return True

    station.conclude = conclude  # type: ignore[method-assign]


def steps_of(folder: Path, repository: ReleaseRepository, references: tuple[str, ...]) -> int:
    """Count the steps of an update."""

    def task() -> int:
        disk = FailingDisk(folder, lambda _: False, "kill")
        update(folder, repository, references)
        (folder.parent / "steps").write_text(str(disk.steps))
        return 0

    assert in_child(task) == 0
    return int((folder.parent / "steps").read_text())


ERRORS = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC}
