"""`voxline update` on a station whose agent does not run, and on one whose agent does."""

import errno
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner, Result

from agent import durable
from agent.errors import UpdateError
from agent.exchange import Exchange
from agent.settings import load
from agent.updates import updater as updater_module
from agent.updates.actions import Parts
from agent.updates.cli import app
from agent.updates.events import Pin
from agent.updates.probation import Terms
from agent.updates.release import Channel
from agent.updates.repository import ReleaseRepository
from agent.updates.requests import has_requests, leave_request, take_requests
from agent.updates.trial import Evidence
from tests.integration.brokers import eventually
from tests.updates.house import Obedient, make_repository, make_updater, release, root_of

CONFIG = """
[station]
enterprise = "acme"
site = "lyon"
area = "assembly"
line = "l3"
cell = "c7"
id = "press-2"
[recognition]
grammar = "{folder}/grammar.yaml"
bundle = "{folder}/bundle"
[storage]
state = "{folder}/state"
cache = "{folder}/cache"
[updates]
source = "{folder}/repository/public"
root = "{folder}/root.json"
reserve_bytes = 0
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReleaseRepository]:
    repository = make_repository(tmp_path / "repository")
    release(repository, "model/press/1.0.0", {"model.onnx": b"weights"})
    repository.publish()
    (tmp_path / "root.json").write_bytes(root_of(repository))
    (tmp_path / "config.toml").write_text(CONFIG.format(folder=tmp_path))
    monkeypatch.setenv("VOXLINE_CONFIG", str(tmp_path / "config.toml"))
    # Trials have tests of their own, with a real bundle.
    monkeypatch.setattr("agent.updates.host.run_apart", lambda *_: Evidence())
    monkeypatch.setattr(updater_module, "TICK_S", 0.01)
    # The runner's standard error is gone when a thread still has something to say.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield repository
    structlog.reset_defaults()


def voxline(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def status() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(voxline("status", "--json").output)
    return found


def test_apply_pin_and_rollback_without_an_agent(repository: ReleaseRepository, tmp_path: Path) -> None:
    assert repository
    assert status()["phase"] == "idle"
    assert "signatures are good" in voxline("check").output
    assert not (tmp_path / "state").exists()  # looking changes nothing
    nothing = voxline("rollback")
    assert (nothing.exit_code, "nothing to roll back" in nothing.output) == (1, True)
    result = voxline("apply", "model/press/1.0.0")
    assert result.exit_code == 0, result.output
    assert "probation" in result.output
    assert status()["running"] == ["model/press/1.0.0"]
    assert status()["wanted"] == {"releases": ["model/press/1.0.0"], "follow": ""}
    assert (status()["later"], status()["source"]) == (None, str(repository.public))
    assert "nothing new" in voxline("check").output
    assert (tmp_path / "state/updates/store/current/model/model.onnx").read_bytes() == b"weights"
    assert voxline("rollback").exit_code == 0
    assert (status()["phase"], status()["running"]) == ("rolled_back", [])
    assert voxline("pin").exit_code == 0
    refused = voxline("apply", "model/press/1.0.0")
    assert refused.exit_code == 1
    assert "pinned" in refused.output
    unpinned = voxline("pin", "--off")
    assert unpinned.exit_code == 0
    assert "checking" not in unpinned.output  # it does as asked, and no more
    assert voxline("apply", "model/press/1.0.0").exit_code == 0


def test_check_names_what_a_channel_has_in_store(repository: ReleaseRepository) -> None:
    repository.set_channel("stable", Channel(releases=("model/press/1.0.0",)))
    repository.publish()
    assert voxline("apply", "--follow", "stable").exit_code == 0
    release(repository, "model/press/1.1.0", {"model.onnx": b"better"})
    repository.set_channel("stable", Channel(releases=("model/press/1.1.0",)))
    repository.publish()
    found = json.loads(voxline("check", "--json").output)
    assert found == {"trusted": True, "wanted": ["model/press/1.1.0"], "new": ["model/press/1.1.0"]}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_nobody_leaves_files_that_the_agent_cannot_change(
    repository: ReleaseRepository, tmp_path: Path
) -> None:
    assert repository
    (tmp_path / "state").mkdir()
    os.chown(tmp_path / "state", 1, 1)
    result = voxline("apply", "model/press/1.0.0")
    assert "sudo -u daemon" in str(result.exception)
    assert not list((tmp_path / "state").iterdir())


def test_what_is_not_there_is_refused(repository: ReleaseRepository) -> None:
    assert repository
    result = voxline("apply", "model/press/9.0.0")
    assert result.exit_code == 1
    assert "no such release" in result.output


@pytest.mark.parametrize("before", [[], ["model/press/1.0.0"]])
def test_what_cannot_be_had_now_is_not_told_as_done(
    before: list[str], repository: ReleaseRepository, tmp_path: Path
) -> None:
    for reference in before:
        assert voxline("apply", reference).exit_code == 0
        updater = make_updater(tmp_path / "state/updates", repository, Obedient(), terms=Terms(0.0, 0, 0.0))
        updater.start()
        assert eventually(lambda: status()["phase"] == "committed")
        updater.stop()
        assert voxline("apply", reference).exit_code == 0  # up to date
    repository.public.rename(tmp_path / "stick")
    result = voxline("apply", "model/press/2.0.0")
    assert (result.exit_code, "a stick may be missing" in result.output) == (1, True)


def test_where_the_disk_takes_nothing_an_order_fails_at_once(
    repository: ReleaseRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waited for the disk, for ever, and a playbook with it."""
    assert repository

    def refuse(path: Path, _content: bytes) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(durable, "write_file", refuse)
        result = voxline("pin")
    assert "Read-only file system" in str(result.exception)
    assert "state.json" in str(result.exception)
    assert not has_requests(tmp_path / "state/updates")
    assert voxline("pin").exit_code == 0


def test_two_models_cannot_run_together(repository: ReleaseRepository) -> None:
    assert repository
    result = voxline("apply", "model/press/1.0.0", "model/press/9.0.0")
    assert "one release of each kind can run" in str(result.exception)


def test_a_request_that_the_disk_does_not_give_back_is_passed_over(tmp_path: Path) -> None:
    leave_request(tmp_path, Pin(True))
    (tmp_path / "requests" / "older.json").symlink_to("/proc/self/mem")  # to read there is an I/O error
    assert list(take_requests(tmp_path)) == [Pin(True)]
    assert not has_requests(tmp_path)


def test_serve_names_the_folder_that_was_meant(repository: ReleaseRepository) -> None:
    refused = voxline("serve", str(repository.public.parent)).exception
    assert isinstance(refused, UpdateError)
    assert "it lacks metadata/timestamp.json; give its folder `public`" in str(refused)


@pytest.mark.parametrize("content", [None, b"", b'{"signed": {}}'])
def test_without_its_trusted_root_a_station_keeps_what_it_runs_and_says_so(
    content: bytes | None, repository: ReleaseRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert repository
    assert voxline("apply", "model/press/1.0.0").exit_code == 0
    settings = load(tmp_path / "config.toml")
    settings.updates.root.unlink()
    if content is not None:
        settings.updates.root.write_bytes(content)
    loaded: list[Parts] = []
    monkeypatch.setattr(Exchange, "_load", lambda _, parts: loaded.append(parts))
    exchange = Exchange(settings, print, lambda _: True)
    exchange.load()
    assert loaded[0].model
    assert (loaded[0].model / "model.onnx").read_bytes() == b"weights"
    assert "copy 1.root.json of the repository there" in exchange.health().fault
    exchange.stop(on_purpose=True)
    assert voxline("rollback").exit_code == 0
    assert status()["running"] == []
    refused = voxline("apply", "model/press/1.0.0")
    assert (refused.exit_code, "copy 1.root.json" in refused.output) == (1, True)


def test_a_broken_slot_and_a_disk_that_keeps_its_link(
    repository: ReleaseRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the settings name is all that is left; but nobody should believe that this was meant."""
    assert repository
    assert voxline("apply", "model/press/1.0.0").exit_code == 0

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    def load_parts(_: Exchange, parts: Parts) -> Parts:
        if parts.model:
            raise UpdateError("the model is damaged")
        return parts

    exchange = Exchange(load(tmp_path / "config.toml"), print, lambda _: True)
    monkeypatch.setattr(Exchange, "_load", load_parts)
    monkeypatch.setattr(durable, "remove", refuse)
    exchange.load()
    assert "the model is damaged" in exchange.health().fault
    assert "Read-only" in exchange.health().fault
    exchange.stop(on_purpose=True)


def test_an_agent_that_runs_takes_requests(repository: ReleaseRepository, tmp_path: Path) -> None:
    settings = load(tmp_path / "config.toml")
    station = Obedient()
    updater = make_updater(settings.storage.updates, repository, station)
    updater.start()
    assert "left for the agent" in voxline("apply", "model/press/1.0.0").output
    assert eventually(lambda: status()["phase"] == "probation")
    assert len(station.swaps) == 1
    updater.stop()
