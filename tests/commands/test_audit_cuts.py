"""The audit log goes on after power cuts, kills, and disks that are full or fail."""

import errno
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import durable
from agent.commands.audit import AuditLog, log_files
from agent.commands.verify import tail, verify
from agent.errors import AuditError
from tests.commands.test_audit import NOW, kinds, notes, write

SYSCALLS = ("write", "fsync", "fdatasync", "open", "close", "fstat", "rename", "unlink")


def test_cut_at_every_byte(tmp_path: Path) -> None:
    source = tmp_path / "whole"
    write(source, "a", "b")
    (path,) = log_files(source)
    whole = path.read_bytes()
    for cut in range(len(whole)):
        directory = tmp_path / f"cut{cut}"
        directory.mkdir()
        (directory / path.name).write_bytes(whole[:cut])
        write(directory, "later")
        found = verify(directory)
        assert not found.faults
        assert not found.unfinished_bytes
        survived = whole[:cut].count(b"\n")
        assert notes(directory) == [*"ab"[:survived], "later"]
        torn = whole[whole[:cut].rfind(b"\n") + 1 : cut]
        assert ("torn" in kinds(directory)) == bool(torn)
        assert b"".join(kept.read_bytes() for kept in directory.glob("torn-*.bin")) == torn


def test_zeros_after_a_power_cut_are_kept_aside(tmp_path: Path) -> None:
    write(tmp_path, "a")
    (path,) = log_files(tmp_path)
    with path.open("ab") as file:
        file.write(b"\0" * 4096 + b"\n" + b"\0" * 100)
    write(tmp_path, "b")
    assert not verify(tmp_path).faults
    assert kinds(tmp_path) == ["note", "torn", "note"]
    assert next(tmp_path.glob("torn-*.bin")).stat().st_size == 4197


def test_what_was_kept_aside_is_watched_too(tmp_path: Path) -> None:
    write(tmp_path, "a")
    with log_files(tmp_path)[0].open("ab") as file:
        file.write(b'{"seq":1,')
    write(tmp_path, "b")
    (kept,) = tmp_path.glob("torn-*.bin")
    kept.write_bytes(b"something else")
    assert "changed" in verify(tmp_path).faults[0]
    kept.unlink()
    assert "gone" in verify(tmp_path).faults[0]


def killed_at(call: int, portion: float, work: Callable[[], object]) -> bool:
    """Do `work` in a child that SIGKILLs itself at its n-th system call; false if it had fewer.

    A write hands over `portion` of its bytes first.
    """
    child = os.fork()
    if child == 0:
        try:
            _arm(call, portion)
            work()
        finally:
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def _arm(call: int, portion: float) -> None:
    count = 0

    def guarded(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def syscall(*arguments: object, **options: object) -> object:
            nonlocal count
            count += 1
            if count == call:
                if name == "write":
                    data = arguments[1]
                    assert isinstance(data, bytes)
                    real(arguments[0], data[: int(len(data) * portion)])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)

        return syscall

    for name in SYSCALLS:
        setattr(os, name, guarded(name, getattr(os, name)))


@pytest.mark.parametrize("portion", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("before", ["nothing", "whole", "torn"])
def test_sigkill_at_every_system_call(tmp_path: Path, portion: float, before: str) -> None:
    """Start, recover, write, rotate and prune, killed at each step; and killed again while recovering."""
    texts = [f"text {number}" for number in range(6)]
    for call in range(1, 500):
        directory = tmp_path / str(call)
        if before != "nothing":
            write(directory, "old")
        if before == "torn":
            with log_files(directory)[0].open("ab") as file:
                file.write(b'{"seq":1,"prev":"')

        def work(directory: Path = directory) -> None:
            write(directory, *texts, max_file_bytes=500, keep_files=2)

        killed = killed_at(call, portion, work)
        killed_at(3 + call % 12, 0.5, lambda: write(directory, "second"))  # noqa: B023 - runs at once
        write(directory, "third")
        assert not verify(directory).faults
        kept = notes(directory)
        assert kept[-1] == "third"
        first = [text for text in kept if str(text).startswith("text")]
        begin = texts.index(str(first[0])) if first else 0
        assert first == texts[begin : begin + len(first)], "no entry is missing in between"
        if not killed:
            assert first[-1] == texts[-1]
            return
    pytest.fail("the work never ended")


def test_real_agent_killed_at_random_moments(tmp_path: Path) -> None:
    """A writer at full speed, SIGKILLed from outside, again and again."""
    promised = 0
    for round_ in range(30):
        ready, told = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                log = AuditLog(tmp_path, max_file_bytes=20_000, keep_files=100_000)
                while True:
                    log.append({"kind": "note", "text": "x" * 200}, NOW)
                    os.write(told, b"!")
            finally:
                os._exit(1)
        os.close(told)
        appended = len(os.read(ready, 1))
        time.sleep(0.0005 * round_)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while more := os.read(ready, 65_536):
            appended += len(more)
        os.close(ready)
        promised += appended
        found = verify(tmp_path)
        assert not found.faults
        assert promised <= found.entries <= promised + 2 * (round_ + 1), "at most the last, and a torn mark"
    write(tmp_path, "end")
    assert not verify(tmp_path).faults


def test_a_full_disk_is_an_error_and_the_gap_is_told(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.append({"kind": "note", "text": "a"}, NOW)

    real = os.write
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", lambda file, line: real(file, line[:10]))
        for text in "bc":
            with pytest.raises(AuditError, match="free space"):
                log.append({"kind": "note", "text": text}, NOW)
    log.append({"kind": "note", "text": "d"}, NOW)
    log.close()
    assert notes(tmp_path) == ["a", "d"]
    gaps = [entry.fields["missed"] for entry in tail(tmp_path, 10) if entry.fields["kind"] == "gap"]
    assert gaps == [2]
    assert not verify(tmp_path).faults


def test_a_gap_is_told_after_a_restart_too(tmp_path: Path) -> None:
    """The agent is stopped while the disk is full: the chain must not look whole afterwards."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no small disk can be mounted here: be root")
    try:
        log = AuditLog(disk)
        missed = 0
        for _ in range(40):
            try:
                log.append({"kind": "note", "text": "x" * 3000}, NOW)
            except AuditError:
                missed += 1
        log.close()
        assert missed
        subprocess.run([*mount[:4], "remount,size=1m", "none", str(disk)], check=True)
        write(disk, "later")
        kept = [entry.fields for entry in tail(disk, 3)]
        assert kept[-1]["text"] == "later"
        assert [fields["missed"] for fields in kept if fields["kind"] == "gap"] >= [missed]
        assert not verify(disk).faults
        write(disk, "last")
        assert [entry.fields["kind"] for entry in tail(disk, 2)] == ["note", "note"], "told once"
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EDQUOT])
def test_a_start_with_a_full_disk_succeeds_and_the_gap_is_told(tmp_path: Path, reason: int) -> None:
    """Its log ends in a torn line, which there is no space to keep aside."""
    log = AuditLog(tmp_path)
    log.append({"kind": "note", "text": "a"}, NOW)
    log.close()
    with log_files(tmp_path)[0].open("ab") as file:
        file.write(b'{"kind": "no')

    def full(_path: Path, _content: bytes) -> None:
        raise OSError(reason, os.strerror(reason))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(durable, "write_file", full)
        log = AuditLog(tmp_path)
        with pytest.raises(AuditError, match="free space"):
            log.append({"kind": "note", "text": "b"}, NOW)
        log.sync()
    log.append({"kind": "note", "text": "c"}, NOW)
    log.close()
    assert notes(tmp_path) == ["a", "c"]
    kept = [entry.fields for entry in tail(tmp_path, 10)]
    assert [fields["kind"] for fields in kept] == ["note", "torn", "gap", "note"]
    assert kept[2]["missed"] == 2, "the one that was torn, and the one that was refused"
    assert not verify(tmp_path).faults


def test_a_start_with_a_disk_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_path: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(durable, "sync", fail)
    with pytest.raises(AuditError, match="must be writable"):
        AuditLog(tmp_path)


def test_a_copy_beside_the_log_is_not_the_log(tmp_path: Path) -> None:
    write(tmp_path, "a")
    (path,) = log_files(tmp_path)
    shutil.copy(path, tmp_path / "audit-backup.jsonl")
    write(tmp_path, "b")
    write(tmp_path, "c")
    assert notes(tmp_path) == ["a", "b", "c"]
    assert not verify(tmp_path).faults
    assert log_files(tmp_path) == [path]


def test_a_place_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditError, match="writable"):
        AuditLog(tmp_path / "file" / "audit")
    with pytest.raises(AuditError, match="no audit log here"):
        verify(tmp_path)
