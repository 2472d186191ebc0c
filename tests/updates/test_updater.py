import errno
import json
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agent import durable
from agent.messaging.client import Link
from agent.messaging.contract import Desired
from agent.settings import Recognition, Settings
from agent.updates import actions, state_file
from agent.updates import updater as updater_module
from agent.updates.actions import Parts
from agent.updates.download import download
from agent.updates.effects import CancelledError
from agent.updates.events import Rollback
from agent.updates.host import AgentHost, wish_of
from agent.updates.probation import Record, Terms
from agent.updates.repository import ReleaseRepository
from agent.updates.requests import leave_request
from agent.updates.state import Phase, State, Wish
from agent.updates.store import SLOTS_KEPT
from agent.updates.transports.transport import Transport
from agent.updates.updater import Updater
from tests.integration.brokers import PATIENCE_S, eventually
from tests.messaging.examples import NAMESPACE, STATION, mqtt
from tests.updates.house import Obedient, make_repository, make_updater, release, wanted, wish


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updater_module, "TICK_S", 0.01)


def test_a_model_arrives_proves_itself_and_is_committed(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repository")
    release(repository, "model/press/1.0.0", {"model.onnx": b"weights" * 1000})
    repository.publish()
    station = Obedient()
    updater = make_updater(tmp_path / "station", repository, station, terms=Terms(60, 3))
    assert updater.parts.model is None
    updater.start()
    updater.wish(wish("model/press/1.0.0"))
    assert eventually(lambda: updater.state.phase is Phase.PROBATION)
    model = updater.parts.model
    assert model
    assert (model / "model.onnx").read_bytes() == b"weights" * 1000
    assert station.swaps == [updater.parts]
    updater.observe(Record(61, utterances=2))
    assert not eventually(lambda: updater.state.phase is Phase.COMMITTED, 0.2)
    updater.observe(Record(62, utterances=3))
    assert eventually(lambda: updater.state.phase is Phase.COMMITTED)
    assert eventually(lambda: [outcome.phase for outcome in station.outcomes] == [Phase.COMMITTED])
    updater.stop()


def test_a_message_that_the_broker_repeats_is_known_again() -> None:
    def named(**others: object) -> str:
        message = {"time": "2026-11-23T08:00:00Z", "follow": "stable", "retry": True} | others
        return wish_of(Desired.model_validate_json(json.dumps(message))).retry

    first, second = ("01936b5e-0000-7000-8000-000000000001", "01936b5e-0000-7000-8000-000000000002")
    assert named() == named() != named(time="2026-11-23T08:00:01Z")
    assert named(id=first) == named(id=first) != named(id=second)
    assert named(id=first, retry=False) == ""


@pytest.fixture
def repository(tmp_path: Path) -> ReleaseRepository:
    repository = make_repository(tmp_path / "repository")
    for number in (1, 2, 3):
        release(repository, f"grammar/press/{number}.0.0")
    repository.publish()
    return repository


def install(updater: Updater, *versions: str) -> None:
    """Bring an updater with a short probation to some releases, one after the other; it goes on working."""
    updater.start()
    for version in versions:
        updater.wish(wish(f"grammar/press/{version}"))
        assert eventually(partial(has_committed, updater, f"grammar/press/{version}"))


def has_committed(updater: Updater, reference: str) -> bool:
    """Whether it has, and has told so: what is still to be told is told after the next start."""
    state = updater.state
    told = not state.outcomes
    return told and state.phase is Phase.COMMITTED and state.running == wanted(reference).releases


def test_what_nothing_needs_any_more_goes(tmp_path: Path, repository: ReleaseRepository) -> None:
    release(repository, "grammar/press/4.0.0")
    repository.publish()
    updater = make_updater(tmp_path / "station", repository, Obedient(), terms=Terms(0, 0))
    install(updater, "1.0.0", "2.0.0", "3.0.0", "4.0.0")
    slots = tmp_path / "station" / "store" / "slots"
    assert eventually(lambda: len(list(slots.iterdir())) == SLOTS_KEPT)
    updater.stop()
    assert {path.name for path in slots.iterdir()} == {updater.state.active, *updater.state.history}


def test_what_has_arrived_since_a_way_back_is_gone_on_with(
    tmp_path: Path, repository: ReleaseRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    updater = make_updater(tmp_path / "station", repository, Obedient(), terms=Terms(0, 0))
    install(updater, "1.0.0")
    updater.stop()
    there = []

    def cut_short(
        transport: Transport, path: str, size_bytes: int, target: Path, on_bytes: Callable[[int], None]
    ) -> None:
        there.append(target.exists())
        if len(there) == 1:
            target.write_bytes(b"grammar")
            raise CancelledError
        download(transport, path, size_bytes, target, on_bytes)

    monkeypatch.setattr(actions, "download", cut_short)
    updater = make_updater(tmp_path / "station", repository, Obedient(), terms=Terms(0, 0))
    updater.step_back("it cannot be loaded")
    updater.wish(wish("grammar/press/2.0.0"))
    updater.start()
    assert eventually(partial(has_committed, updater, "grammar/press/2.0.0"))
    updater.stop()
    assert there == [False, True]


def test_a_slot_that_stands_ready_since_a_way_back_stays(
    tmp_path: Path, repository: ReleaseRepository
) -> None:
    release(repository, "grammar/press/4.0.0")
    repository.publish()
    station = Obedient()
    updater = make_updater(tmp_path / "station", repository, station, terms=Terms(0, 0))
    install(updater, "1.0.0", "2.0.0", "3.0.0")
    station.fault = "it is deaf"
    updater.wish(wish("grammar/press/4.0.0"))
    assert eventually(lambda: updater.state.phase is Phase.REFUSED)
    updater.stop()
    updater = make_updater(tmp_path / "station", repository, Obedient(), terms=Terms(0, 0))
    updater.step_back("it cannot be loaded")
    updater.wish(Wish(wanted("grammar/press/3.0.0"), retry="again"))
    updater.start()
    assert eventually(partial(has_committed, updater, "grammar/press/3.0.0"))
    updater.stop()


def tear(folder: Path, slot: str | None) -> None:
    document = folder / "store" / "slots" / str(slot) / "grammar.json"
    document.unlink()
    document.write_bytes(b"{")


def test_what_is_wanted_during_probation_outlives_a_restart(
    tmp_path: Path, repository: ReleaseRepository
) -> None:
    updater = make_updater(tmp_path / "station", repository, Obedient(), terms=Terms(60, 5))
    updater.start()
    updater.wish(wish("grammar/press/1.0.0"))
    assert eventually(lambda: updater.state.phase is Phase.PROBATION)
    updater.wish(wish("grammar/press/2.0.0"))
    assert eventually(lambda: updater.state.later is not None)
    updater.stop()
    updater = make_updater(tmp_path / "station", repository, Obedient(), terms=Terms(0, 0))
    updater.start()
    assert eventually(partial(has_committed, updater, "grammar/press/2.0.0"))
    updater.stop()


def test_what_is_said_over_and_over_during_a_long_trial_fills_no_memory(
    tmp_path: Path, repository: ReleaseRepository
) -> None:
    station = Thorough()
    updater = make_updater(tmp_path / "station", repository, station, terms=Terms(0, 0))
    updater.start()
    updater.wish(wish("grammar/press/1.0.0"))
    assert station.trying.wait(PATIENCE_S)
    for _ in range(1000):
        updater.wish(wish("grammar/press/1.0.0"))
    assert updater._inbox.qsize() == 1
    station.done.set()
    assert eventually(partial(has_committed, updater, "grammar/press/1.0.0"))
    updater.stop()


class Thorough(Obedient):
    """A station that tries what is new until it is told to end."""

    def __init__(self) -> None:
        super().__init__()
        self.trying, self.done = threading.Event(), threading.Event()

    def try_out(self, *_: object) -> str:
        self.trying.set()
        assert self.done.wait(PATIENCE_S)
        return ""


def test_an_outcome_that_can_neither_be_kept_nor_sent_waits(
    tmp_path: Path, repository: ReleaseRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the outbox cannot be opened and there is no link yet."""
    monkeypatch.setattr(updater_module, "RETRY_S", 0.1)
    link, station = Link(mqtt(1), NAMESPACE), Obedient()
    recognition = Recognition(bundle=tmp_path, grammar=tmp_path)
    host = AgentHost(Settings(station=STATION, recognition=recognition), station.swap, link.publish)
    monkeypatch.setattr(station, "conclude", host.conclude)
    updater = make_updater(tmp_path / "station", repository, station, terms=Terms(0, 0))
    updater.start()
    updater.wish(wish("grammar/press/1.0.0"))
    assert eventually(lambda: updater.state.phase is Phase.COMMITTED)
    assert eventually(lambda: link.health().dropped_total.get("no_link", 0) >= 2)
    assert [outcome.phase for outcome in updater.state.outcomes] == [Phase.COMMITTED]
    monkeypatch.setattr(station, "conclude", lambda _: True)
    assert eventually(lambda: not updater.state.outcomes)
    updater.stop()


def test_an_outcome_is_told_although_a_request_cannot_be_taken(
    tmp_path: Path, repository: ReleaseRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updater_module, "RETRY_S", 0.1)
    station, told = Obedient(), threading.Event()
    monkeypatch.setattr(station, "conclude", lambda _: told.is_set())
    updater = make_updater(tmp_path / "station", repository, station, terms=Terms(0, 0))
    updater.start()
    updater.wish(wish("grammar/press/1.0.0"))
    assert eventually(lambda: updater.state.phase is Phase.COMMITTED)
    (tmp_path / "station" / "requests" / "folder.json").mkdir(parents=True)
    time.sleep(0.2)
    told.set()
    assert eventually(lambda: not updater.state.outcomes)
    updater.stop()


def test_a_request_that_cannot_be_taken_keeps_no_bad_bundle_in_use(
    tmp_path: Path, repository: ReleaseRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updater_module, "RETRY_S", 0.1)
    updater = make_updater(tmp_path / "station", repository, Obedient(), terms=Terms(60, 3))
    updater.start()
    updater.wish(wish("grammar/press/1.0.0"))
    assert eventually(lambda: updater.state.phase is Phase.PROBATION)
    (tmp_path / "station" / "requests" / "folder.json").mkdir(parents=True)
    updater.observe(Record(61, utterances=9, engine_errors=9))
    assert eventually(lambda: updater.state.phase is Phase.ROLLED_BACK)
    updater.stop()


def test_a_start_with_a_damaged_slot_is_one_step_back(tmp_path: Path, repository: ReleaseRepository) -> None:
    folder, station = tmp_path / "station", Obedient()
    updater = make_updater(folder, repository, station, terms=Terms(0, 0))
    install(updater, "1.0.0", "2.0.0", "3.0.0")
    updater.stop()
    first, second = updater.state.history[-2:]
    tear(folder, updater.state.active)
    for expected in (second, None):  # in a row: the second time the slot before is damaged as well
        updater = make_updater(folder, repository, station, terms=Terms(0, 0))
        assert updater.state.phase is Phase.ROLLED_BACK
        assert updater.state.active == expected
        assert "documents are damaged" in updater.state.reason
        updater.stop()
        tear(folder, first)
        tear(folder, second)
    assert updater.parts.grammar is None


def test_however_many_slots_cannot_be_loaded_the_way_back_ends(
    tmp_path: Path, repository: ReleaseRepository
) -> None:
    """Slots share files: what a disk has spoilt in one it may have spoilt in those before."""
    updater = make_updater(tmp_path / "station", repository, Obedient(), terms=Terms(0, 0))
    install(updater, "1.0.0", "2.0.0")
    updater.stop()
    station = Obedient()
    updater = make_updater(tmp_path / "station", repository, station, terms=Terms(0, 0))
    for left in (1, 0):
        updater.step_back("it cannot be loaded")
        assert (updater.parts.grammar is not None) == bool(left)
    updater.start()
    assert eventually(lambda: len(station.outcomes) == 2)
    updater.stop()
    assert not station.swaps  # it was loaded from the beginning
    assert updater.state.phase is Phase.ROLLED_BACK


def test_a_rollback_to_a_damaged_slot_is_one_swap(tmp_path: Path, repository: ReleaseRepository) -> None:
    folder, station = tmp_path / "station", Obedient()
    updater = make_updater(folder, repository, station, terms=Terms(0, 0))
    install(updater, "1.0.0", "2.0.0")
    tear(folder, updater.state.history[-1])
    station.swaps.clear()
    leave_request(folder, Rollback("by hand"))
    assert eventually(lambda: updater.state.phase is Phase.ROLLED_BACK and updater.idle)
    updater.stop()
    assert len(station.swaps) == 1
    assert updater.parts.grammar is None
    assert "damaged" in updater.state.reason


def test_a_disk_that_refuses_the_way_back_is_asked_again_but_not_all_the_time(
    tmp_path: Path, repository: ReleaseRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updater_module, "RETRY_S", 1.0)
    updater = make_updater(tmp_path / "station", repository, Obedient(), terms=Terms(0, 0))
    install(updater, "1.0.0")
    asked = []

    def refuse(path: Path) -> None:
        asked.append(path)
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as disk:
        disk.setattr(durable, "remove", refuse)
        leave_request(tmp_path / "station", Rollback("by hand"))
        assert eventually(lambda: len(asked) == 2)
        time.sleep(0.5)
        assert len(asked) == 2
    assert eventually(lambda: updater.state.phase is Phase.ROLLED_BACK)
    updater.stop()


def test_a_state_that_the_disk_does_not_give_back_is_none(tmp_path: Path) -> None:
    (tmp_path / "state.json").symlink_to("/proc/self/mem")  # to read there is an I/O error
    assert state_file.load(tmp_path) == State()


def test_a_state_that_may_not_be_read_now_is_not_forgotten(tmp_path: Path) -> None:
    """Who is pinned and what failed here: to begin anew would overwrite it."""
    (tmp_path / "state.json").mkdir()
    with pytest.raises(IsADirectoryError):
        state_file.load(tmp_path)


def test_a_swap_that_the_end_of_the_agent_cuts_short_is_no_fault_of_the_disk(
    tmp_path: Path, repository: ReleaseRepository
) -> None:
    def stopping(_: Parts) -> bool:
        raise CancelledError

    with capture_logs() as logs:
        updater = make_updater(tmp_path / "station", repository, Obedient(unusable=stopping))
        updater.start()
        updater.wish(wish("grammar/press/1.0.0"))
        assert eventually(lambda: updater.state.phase is Phase.ACTIVATING)
        time.sleep(0.1)
        updater.stop()
    assert not [entry for entry in logs if entry["log_level"] == "error"]
    updater = make_updater(tmp_path / "station", repository, Obedient(), terms=Terms(0, 0))
    updater.start()
    assert eventually(partial(has_committed, updater, "grammar/press/1.0.0"))
    updater.stop()


@pytest.mark.parametrize("name", ["store", "state.json"])
def test_who_could_not_take_charge_keeps_nobody_else_from_it(
    name: str, tmp_path: Path, repository: ReleaseRepository
) -> None:
    folder = tmp_path / "station"
    folder.mkdir()
    (folder / name).symlink_to(folder / name)  # nothing can be read or made there
    with pytest.raises(OSError, match=r"symbolic links|File exists"):
        make_updater(folder, repository, Obedient())
    (folder / name).unlink()
    make_updater(folder, repository, Obedient()).stop()
