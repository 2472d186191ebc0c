"""The audit log tells when it was touched, and goes on after whatever stopped it."""

import errno
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue
from typer.testing import CliRunner

from agent import durable
from agent.commands.audit import AuditLog, log_files
from agent.commands.chain import GENESIS, seal, unseal
from agent.commands.cli import app
from agent.commands.events import Answer, Answered, InhibitReported
from agent.commands.records import record
from agent.commands.verify import Examination, tail, verify
from agent.errors import AuditError
from tests.commands.station import Station

NOW = datetime(2026, 11, 23, 1, 2, 3, 456789, tzinfo=UTC)


def write(directory: Path, *texts: str, **limits: int) -> str:
    """Append entries as one run of the agent does; return the head."""
    log = AuditLog(directory, **limits)
    for text in texts:
        log.append({"kind": "note", "text": text}, NOW)
    log.close()
    newest = tail(directory, 1)
    return newest[0].hash if newest else GENESIS


def notes(directory: Path) -> list[JsonValue]:
    return [entry.fields["text"] for entry in tail(directory, 10_000) if entry.fields["kind"] == "note"]


def kinds(directory: Path) -> list[JsonValue]:
    return [entry.fields["kind"] for entry in tail(directory, 10_000)]


@given(
    st.dictionaries(
        st.text(min_size=1).filter(lambda key: key not in ("seq", "prev", "hash")),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text() | st.floats(-1e9, 1e9),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        ),
    ),
    st.integers(0, 10**12),
)
def test_a_line_gives_back_what_it_holds(fields: dict[str, JsonValue], sequence: int) -> None:
    line, digest = seal(fields, sequence, GENESIS)
    assert line.count(b"\n") == 1
    assert json.loads(line)["hash"] == digest, "any JSON reader reads it"
    entry = unseal(line[:-1])
    assert (entry.sequence, entry.previous, entry.hash, entry.fields) == (sequence, GENESIS, digest, fields)


@given(st.integers(0), st.integers(1, 255))
def test_a_line_with_one_changed_byte_is_none(position: int, change: int) -> None:
    line = bytearray(seal({"kind": "note", "text": "belt speed 50"}, 3, GENESIS)[0][:-1])
    line[position % len(line)] ^= change
    with pytest.raises(ValueError, match="hash"):
        unseal(bytes(line))


@given(st.binary(max_size=400))
def test_no_garbage_is_a_line(garbage: bytes) -> None:
    with pytest.raises(ValueError, match="hash"):
        unseal(garbage)


def test_the_chain_goes_on_from_run_to_run(tmp_path: Path) -> None:
    write(tmp_path, "a", "b")
    head = write(tmp_path, "c")
    found = verify(tmp_path)
    assert (found.entries, found.first, found.head, found.faults) == (3, 0, head, [])
    assert notes(tmp_path) == ["a", "b", "c"]
    assert tail(tmp_path, 1)[0].fields["time"] == "2026-11-23T01:02:03.456Z"


def change_a_word(lines: list[bytes]) -> list[bytes]:
    return [line.replace(b'"c"', b'"x"') for line in lines]


def forge_a_line(lines: list[bytes]) -> list[bytes]:
    entry = unseal(lines[2][:-1])
    lines[2], _ = seal({**entry.fields, "text": "x"}, entry.sequence, entry.previous)
    return lines


def leave_one_out(lines: list[bytes]) -> list[bytes]:
    return lines[:2] + lines[3:]


def swap_two(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[2], lines[1], *lines[3:]]


def double_one(lines: list[bytes]) -> list[bytes]:
    return [*lines[:3], lines[2], *lines[3:]]


def break_a_line(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[2][:20] + b"\n", *lines[3:]]


@pytest.mark.parametrize(
    "tamper", [change_a_word, forge_a_line, leave_one_out, swap_two, double_one, break_a_line]
)
def test_tampering_shows_with_its_place(tmp_path: Path, tamper: Callable[[list[bytes]], list[bytes]]) -> None:
    write(tmp_path, *"abcde")
    (path,) = log_files(tmp_path)
    path.write_bytes(b"".join(tamper(path.read_bytes().splitlines(keepends=True))))
    faults = verify(tmp_path).faults
    assert faults
    assert faults[0].startswith(f"{path.name}:")


def test_a_log_cut_short_shows_against_a_hash_noted_elsewhere(tmp_path: Path) -> None:
    head = write(tmp_path, *"abcde")
    (path,) = log_files(tmp_path)
    assert not verify(tmp_path, head).faults
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))
    assert not verify(tmp_path).faults, "the chain alone cannot tell"
    assert "cut short" in verify(tmp_path, head).faults[0]


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


SYSCALLS = ("write", "fsync", "fdatasync", "open", "close", "fstat", "rename", "unlink")


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


def test_rotation_carries_the_chain_and_prunes_openly(tmp_path: Path) -> None:
    texts = [f"{number}" for number in range(40)]
    write(tmp_path, *texts, max_file_bytes=1000, keep_files=3)
    assert len(log_files(tmp_path)) == 3
    found = verify(tmp_path)
    assert not found.faults
    assert found.first is not None
    assert found.first > 0
    assert kinds(tmp_path).count("pruned") >= 1
    kept = notes(tmp_path)
    assert kept == texts[-len(kept) :]
    log_files(tmp_path)[1].unlink()
    assert "expected" in verify(tmp_path).faults[0]


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


def test_two_agents_do_not_share_a_log(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    with pytest.raises(AuditError, match="another agent"):
        AuditLog(tmp_path)
    log.close()
    AuditLog(tmp_path).close()


def test_a_place_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditError, match="writable"):
        AuditLog(tmp_path / "file" / "audit")
    with pytest.raises(AuditError, match="no audit log here"):
        verify(tmp_path)


@settings(max_examples=50, deadline=None)
@given(content=st.lists(st.binary(max_size=60) | st.just(b"\n"), max_size=8).map(b"".join))
def test_whatever_stands_in_the_file_the_log_goes_on(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("log")
    (directory / "audit-000000000000.jsonl").write_bytes(content)
    write(directory, "a")
    assert notes(directory) == ["a"]
    assert not verify(directory).faults


def records() -> Iterator[dict[str, JsonValue]]:
    station = Station(arming="wake")
    station.say("lamp")
    station.say("voxline.wake")
    station.say("press", 0.7)
    station.say("voxline.confirm")
    station.tell(Answered(station.published()[0].id, Answer.REFUSED, "busy"))
    station.tell(InhibitReported(active=True, who="Kim", why="oil"))
    for effect in station.done:
        fields = record(effect)
        if fields:
            yield fields


def test_every_decision_is_recorded_with_score_reason_and_versions(tmp_path: Path) -> None:
    found = list(records())
    kinds = [fields["kind"] for fields in found]
    assert kinds == ["decision"] * 4 + ["delivery", "answer", "inhibit"]
    verdicts = [(fields["verdict"], fields["reason"]) for fields in found[:4]]
    assert verdicts == [("reject", "unarmed"), ("wake", None), ("confirm", "unsure"), ("accept", None)]
    for fields in found[:4]:
        assert (fields["grammar"], fields["bundle"]) == ("cell@1234", "tiny@1.0.0")
        assert isinstance(fields["heard"], dict)
        assert fields["heard"]["probability"]
    assert found[2]["order"] == found[3]["order"] == found[4]["order"]
    log = AuditLog(tmp_path)
    for fields in found:
        log.append(fields, NOW)
    log.close()
    assert [entry.fields["kind"] for entry in tail(tmp_path, 99)] == kinds


def test_the_command_line(tmp_path: Path) -> None:
    run = CliRunner().invoke
    head = write(tmp_path, "a", "b", "皮带")
    where = ["--dir", str(tmp_path)]
    done = run(app, ["verify", *where, "--expect", head])
    assert done.exit_code == 0
    assert f"3 entries from 0: whole; newest {head}" in done.output
    assert json.loads(run(app, ["verify", *where, "--json"]).output)["ok"] is True
    assert run(app, ["tail", *where, "-n", "1"]).output == '2 2026-11-23T01:02:03.456Z note text="皮带"\n'
    entry = json.loads(run(app, ["tail", *where, "-n", "1", "--json"]).output)
    assert entry["hash"] == head
    (path,) = log_files(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"b"', b'"x"'))
    done = run(app, ["verify", *where])
    assert done.exit_code == 1
    assert f"{path.name}:2: the hash is not that of the content" in done.output
    assert json.loads(run(app, ["verify", *where, "--json"]).output)["ok"] is False


def test_an_examination_of_an_unfinished_line(tmp_path: Path) -> None:
    write(tmp_path, "a")
    with log_files(tmp_path)[0].open("ab") as file:
        file.write(b'{"seq"')
    found: Examination = verify(tmp_path)
    assert (found.faults, found.unfinished_bytes) == ([], 6)


def test_an_idle_log_leaves_the_flash_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    log = AuditLog(tmp_path)
    log.append({"kind": "note", "text": "a"}, NOW)
    for _ in range(3):
        log.sync()
    assert len(synced) == 1
    log.append({"kind": "note", "text": "b"}, NOW)
    log.sync()
    assert len(synced) == 2


def test_the_log_is_found_by_the_settings(tmp_path: Path) -> None:
    write(tmp_path / "audit", "a")
    config, example = tmp_path / "config.toml", Path(__file__).parents[2] / "config.example.toml"
    config.write_text(example.read_text().replace('"/var/lib/voxline"', f'"{tmp_path}"'))
    done = CliRunner().invoke(app, ["verify", "--config", str(config)])
    assert "1 entries from 0: whole" in done.output
