"""The audit log tells when it was touched, and goes on after whatever stopped it."""

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue
from typer.testing import CliRunner

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


def test_two_agents_do_not_share_a_log(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    with pytest.raises(AuditError, match="another agent"):
        AuditLog(tmp_path)
    log.close()
    AuditLog(tmp_path).close()


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
