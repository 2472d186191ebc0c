import json
from pathlib import Path

import pytest

from agent.messaging.contract import Desired
from agent.updates import updater as updater_module
from agent.updates.course import Phase
from agent.updates.plant import retry_of
from agent.updates.probation import Terms, Vitals
from tests.integration.brokers import eventually
from tests.updates.house import Obedient, make_repository, make_updater, release, wanted


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
    updater.wish(wanted("model/press/1.0.0"))
    assert eventually(lambda: updater.state.phase is Phase.PROBATION)
    model = updater.parts.model
    assert model
    assert (model / "model.onnx").read_bytes() == b"weights" * 1000
    assert station.swaps == [updater.parts]
    updater.observe(Vitals(61, utterances=2))
    assert not eventually(lambda: updater.state.phase is Phase.COMMITTED, 0.2)
    updater.observe(Vitals(62, utterances=3))
    assert eventually(lambda: updater.state.phase is Phase.COMMITTED)
    updater.stop()
    assert [outcome.phase for outcome in station.outcomes] == [Phase.COMMITTED]


def test_a_message_that_the_broker_repeats_is_known_again() -> None:
    def named(**others: object) -> str:
        message = {"time": "2026-11-23T08:00:00Z", "follow": "stable", "retry": True} | others
        return retry_of(Desired.model_validate_json(json.dumps(message)))

    first, second = ("01936b5e-0000-7000-8000-000000000001", "01936b5e-0000-7000-8000-000000000002")
    assert named() == named() != named(time="2026-11-23T08:00:01Z")
    assert named(id=first) == named(id=first) != named(id=second)
    assert named(id=first, retry=False) == ""
