"""The whole agent takes an update while it listens: wished over MQTT, tried, swapped, proven; and back."""

import json
import shutil
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent.acoustics.bundle import MANIFEST_FILE, seal_bundle
from agent.acoustics.engines.choose import ChosenEngine
from agent.app import App, Compiled
from agent.audio.playback import Playback
from agent.errors import GrammarError
from agent.exchange import TakenOver
from agent.messaging.contract import Desired, Inhibit, Release
from agent.messaging.namespace import Namespace
from agent.recognition.listener import Listener
from agent.settings import Updates
from agent.station import Ears
from agent.updates import probation
from agent.updates.actions import Parts
from agent.updates.host import AgentHost, with_parts
from agent.updates.pack import pack_grammar, pack_model
from agent.updates.repository import ReleaseRepository
from tests.integration.booth import BUNDLE, GRAMMAR, STATION, Booth, require_bundle, station_settings
from tests.integration.brokers import Mosquitto, Scada, eventually, needs_mosquitto
from tests.integration.bundles import reseal, spoil, teach_canary
from tests.updates.house import make_repository, root_of

require_bundle()
pytestmark = needs_mosquitto

NAMESPACE = Namespace.of(STATION)
NAME = "voxline-en-zh"
START_3 = "00-start-conveyor-three.opus"
PATIENCE_S = 300.0


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> ReleaseRepository:
    """The bundle as a newer version with few golden utterances, and a newer grammar."""
    folder = tmp_path_factory.mktemp("release")
    repository = make_repository(folder / "repository")
    newer = folder / "bundle"
    shutil.copytree(BUNDLE, newer)
    labels = json.loads((newer / "golden" / "labels.json").read_text())
    (newer / "golden" / "labels.json").write_text(json.dumps({START_3: labels[START_3]}))
    (newer / "golden" / "rejects.json").write_text("{}")
    described = json.loads((newer / MANIFEST_FILE).read_text())
    del described["files"]
    seal_bundle(newer, described | {"version": "9.0.0"})
    repository.add(*pack_model(newer))
    grammar = folder / "grammar.yaml"
    grammar.write_text(GRAMMAR.read_text() + "# a newer one\n")
    repository.add(*pack_grammar(grammar, "2.0.0"))
    repository.publish()
    return repository


@pytest.fixture(autouse=True)
def busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What else this machine does must not pass for a slow model."""
    monkeypatch.setattr(probation, "WORSE_LATENCY_S", 60.0)


class Stage:
    """A station that runs, ends, and runs again over the same files."""

    def __init__(self, folder: Path, broker: Mosquitto, repository: ReleaseRepository) -> None:
        (folder / "root.json").write_bytes(root_of(repository))
        updates = Updates(
            source=str(repository.public),
            root=folder / "root.json",
            reserve_bytes=0,
            probation_s=1,
            probation_utterances=1,
        )
        self.settings = station_settings(broker.port, folder, updates=updates)

    def __enter__(self) -> "Stage":
        self.booth = Booth()
        self.app = App(self.settings, Playback(self.booth.blocks(), real_time=True))
        self.running = threading.Thread(target=self.app.run, daemon=True)
        self.running.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.app.stop()
        self.running.join(PATIENCE_S)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as broker:
        yield broker


def wish(plant: Scada, **wanted: Any) -> None:
    desired = Desired(time=datetime.now(UTC), **wanted)
    plant.publish(NAMESPACE.topic(Desired), desired.model_dump_json(), retain=True)


def said(plant: Scada, topic: str) -> list[dict[str, Any]]:
    return [json.loads(message.payload) for message in plant.on(topic)]


def in_phase(plant: Scada, phase: str) -> bool:
    told = said(plant, "/press-2/update")
    return bool(told) and told[-1]["phase"] == phase


def test_wished_tried_swapped_proven_and_told(
    broker: Mosquitto, repository: ReleaseRepository, tmp_path: Path
) -> None:
    stage = Stage(tmp_path, broker, repository)
    with Scada(broker.port) as plant:
        free = Inhibit(time=datetime.now(UTC), active=False, who="shift lead", why="normal operation")
        plant.publish(NAMESPACE.topic(Inhibit), free.model_dump_json(), retain=True)
        with stage:
            assert plant.wait_for("/health", timeout_s=PATIENCE_S)
            wish(
                plant,
                model=Release(name=NAME, version="9.0.0"),
                grammar=Release(name="demo", version="2.0.0"),
            )
            assert eventually(lambda: in_phase(plant, "probation"), PATIENCE_S), said(
                plant, "/press-2/update"
            )
            assert not plant.on("/event/update")
            stage.booth.say(START_3)
            told = json.loads(plant.wait_for("/event/update", 1, PATIENCE_S)[0].payload)
            assert told["outcome"] == "committed"
            assert told["releases"] == [f"model/{NAME}/9.0.0", "grammar/demo/2.0.0"]
            assert eventually(lambda: bool(plant.on("/command/conveyor/start")), PATIENCE_S)
            assert eventually(
                lambda: said(plant, "/health")[-1]["versions"]["bundle"] == f"{NAME}@9.0.0", PATIENCE_S
            )
        with stage:  # the next start runs it from the beginning
            assert stage.app._ears.version == f"{NAME}@9.0.0"
            count = len(plant.on("/command/conveyor/start"))
            stage.booth.say(START_3)
            assert eventually(lambda: len(plant.on("/command/conveyor/start")) > count, PATIENCE_S)
        model = stage.settings.storage.state / "updates" / "store" / "current" / "model" / "model.onnx"
        model.write_bytes(model.read_bytes()[:1000])
        with stage:  # a disk that lost half of it: back to what the settings name, and the plant is told
            assert stage.app._ears.version != f"{NAME}@9.0.0"
            assert eventually(lambda: len(plant.on("/event/update")) == 2, PATIENCE_S)
            assert said(plant, "/event/update")[-1]["outcome"] == "rolled_back"
            assert eventually(lambda: in_phase(plant, "rolled_back"))


def test_a_model_that_only_its_self_test_finds_out_goes_back_by_itself(
    broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is deaf, but it runs, is quick, and answers its own canary; nobody says a word."""
    repository = make_repository(tmp_path / "repository")
    deaf = spoil(BUNDLE, tmp_path / "deaf")
    reseal(deaf, version="9.1.0")
    teach_canary(deaf)
    repository.add(*pack_model(deaf))
    repository.publish()
    monkeypatch.setattr(AgentHost, "try_out", lambda *_: "")  # a trial would find it out, too
    with Scada(broker.port) as plant, Stage(tmp_path, broker, repository) as stage:
        assert eventually(lambda: self_tests(plant)["passed"] > 0, PATIENCE_S)
        wish(plant, model=Release(name=NAME, version="9.1.0"))
        told = json.loads(plant.wait_for("/event/update", 1, PATIENCE_S)[0].payload)
        assert told["outcome"] == "rolled_back"
        assert "self test failures" in told["reason"]
        good = self_tests(plant)["passed"]
        assert eventually(lambda: self_tests(plant)["passed"] > good, PATIENCE_S)
        assert stage.app._ears.version != f"{NAME}@9.1.0"


def test_a_grammar_that_changes_while_a_model_waits_for_its_pause(tmp_path: Path) -> None:
    """What was made for the old model must not hear with the new one, nor the old grammar stay."""
    grammar = tmp_path / "site.yaml"
    shutil.copy(GRAMMAR, grammar)
    app = by_hand(tmp_path, grammar)
    newer = Ears(app._settings, lambda _: None)
    vocabulary = newer.load_vocabulary()
    swapped = newer.listener(vocabulary)

    def exchange(listener: Listener) -> None:
        listener.exchange(swapped.stream, swapped.recognizer)

    app._hearing.change(exchange)
    reload(app)  # for what still hears, but behind the exchange
    assert app._hearing.listener.recognizer is swapped.recognizer
    assert app._reload_wanted

    edit(grammar)  # since the update read it
    app._take(TakenOver(vocabulary, newer), 0.0)
    assert app._ears.grammar_changed()
    reload(app)
    assert app._hearing.listener.recognizer is not swapped.recognizer
    newer.engine.close()


def test_the_grammar_that_is_watched_is_the_one_that_is_in_use(tmp_path: Path) -> None:
    site, slot = tmp_path / "site.yaml", tmp_path / "slot.yaml"
    shutil.copy(GRAMMAR, site)
    shutil.copy(GRAMMAR, slot)
    app = by_hand(tmp_path, site)
    newer = Ears(with_parts(app._settings, Parts(None, slot)), lambda _: None)
    app._take(TakenOver(newer.load_vocabulary(), newer), 0.0)
    edit(site)
    assert not app._ears.grammar_changed()
    edit(slot)
    assert app._ears.grammar_changed()
    newer.engine.close()


def test_a_model_whose_grammar_does_not_fit_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, unfit = tmp_path / "site.yaml", tmp_path / "unfit.yaml"
    shutil.copy(GRAMMAR, site)
    unfit.write_text("name: g\nconfirm: []\ncommands: {press: {sentences: [press], topic: p, risk: high}}\n")
    app = by_hand(tmp_path, site)
    closed: list[ChosenEngine] = []
    monkeypatch.setattr(ChosenEngine, "close", lambda engine: closed.append(engine))
    with pytest.raises(GrammarError, match="need confirm phrases"):
        app._updates._load(Parts(None, unfit))
    assert len(closed) == 1


def by_hand(folder: Path, grammar: Path) -> App:
    """Make an app that does not run."""
    return App(station_settings(1, folder, grammar), Playback(Booth().blocks(), real_time=True))


def edit(grammar: Path) -> None:
    grammar.write_text(grammar.read_text() + "# edited\n")


def reload(app: App) -> None:
    """Let an app that does not run read its grammar, and a pause come."""
    app._compile()
    while not isinstance(item := app._inbox.get(0)[0], Compiled):
        pass
    app._take(item, 0.0)
    app._hearing._apply_changes(time.monotonic())


def self_tests(plant: Scada) -> dict[str, int]:
    runs: dict[str, int] = (
        said(plant, "/health")[-1]["self_test"]["runs_total"] if plant.on("/health") else {}
    )
    return {"passed": 0, "failed": 0} | runs


def test_what_is_not_there_is_refused_and_speech_goes_on(
    broker: Mosquitto, repository: ReleaseRepository, tmp_path: Path
) -> None:
    with Scada(broker.port) as plant, Stage(tmp_path, broker, repository) as stage:
        assert plant.wait_for("/health", timeout_s=PATIENCE_S)
        wish(plant, grammar=Release(name="demo", version="7.7.7"))
        told = json.loads(plant.wait_for("/event/update", 1, PATIENCE_S)[0].payload)
        assert (told["outcome"], told["active"]) == ("refused", None)
        stage.booth.say(START_3)
        assert eventually(lambda: bool(plant.on("/event/accept") or plant.on("/event/reject")), PATIENCE_S)
