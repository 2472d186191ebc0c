"""Updates through a real mosquitto, for plants where nothing but the broker can be reached."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tuf.api.exceptions import DownloadError, DownloadHTTPError, SlowRetrievalError

from agent.messaging.contract import PIECE_REQUEST_TOPIC
from agent.updates.course import Phase
from agent.updates.download import download
from agent.updates.probation import Terms
from agent.updates.repository import ReleaseRepository
from agent.updates.transports.mqtt import PIECE_BYTES, Broker, Server
from agent.updates.transports.transport import Patience
from tests.integration.brokers import Mosquitto, Scada, eventually, mosquitto, needs_mosquitto
from tests.messaging.examples import mqtt
from tests.updates.house import Obedient, make_repository, make_updater, release, wanted

__all__ = ["mosquitto"]
pytestmark = needs_mosquitto
BASE = "acme/lyon/assembly/l3/c7/voice/press-2"
CONTENT = bytes(range(256)) * 1500
BRISK = Patience(silence_s=2, tries=8, max_pause_s=0.2)


@pytest.fixture
def repository(tmp_path: Path) -> ReleaseRepository:
    repository = make_repository(tmp_path / "repository")
    release(
        repository, "model/press/1.0.0", {"model.onnx": CONTENT, "exact": b"x" * PIECE_BYTES, "empty": b""}
    )
    repository.publish()
    return repository


@contextlib.contextmanager
def serving(broker: Mosquitto, folder: Path) -> Iterator[Server]:
    server = Server(mqtt(broker.port), folder)
    try:
        yield server
    finally:
        server.close()


def test_a_whole_update(mosquitto: Mosquitto, repository: ReleaseRepository, tmp_path: Path) -> None:
    way = Broker(mqtt(mosquitto.port), BASE, BRISK)
    with serving(mosquitto, repository.public) as server:
        updater = make_updater(tmp_path / "station", repository, Obedient(), way, terms=Terms(0, 0))
        updater.start()
        updater.wish(wanted("model/press/1.0.0"))
        assert eventually(lambda: updater.state.phase is Phase.COMMITTED, 20)
        updater.stop()
        way.close()
    assert updater.parts.model
    assert (updater.parts.model / "model.onnx").read_bytes() == CONTENT
    assert (updater.parts.model / "exact").stat().st_size == PIECE_BYTES
    assert server.served_bytes >= len(CONTENT)


def test_it_goes_on_after_the_broker_was_gone(
    mosquitto: Mosquitto, repository: ReleaseRepository, tmp_path: Path
) -> None:
    biggest = max((repository.public / "objects").iterdir(), key=lambda path: path.stat().st_size)
    way = Broker(mqtt(mosquitto.port), BASE, BRISK)
    cut = threading.Event()

    def cut_once(_: int) -> None:
        if not cut.is_set():
            cut.set()
            mosquitto.kill()
            threading.Timer(1, mosquitto.start).start()

    with serving(mosquitto, repository.public):
        download(way, f"objects/{biggest.name}", len(CONTENT), tmp_path / "part", cut_once)
    way.close()
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_what_is_not_there_and_what_must_not_be_read(
    mosquitto: Mosquitto, repository: ReleaseRepository, tmp_path: Path
) -> None:
    (repository.public / "objects" / "link").symlink_to("/etc/hostname")
    (tmp_path / "secret").write_text("secret")
    way = Broker(mqtt(mosquitto.port), BASE, BRISK)
    with serving(mosquitto, repository.public):
        for path in (
            "objects/none",
            "objects/link",
            "metadata/../../keyring.json",
            "/etc/hostname",
            "metadata/\0",
        ):
            with pytest.raises(DownloadHTTPError):
                list(way.read(path))
    way.close()


def test_nobody_serves(mosquitto: Mosquitto) -> None:
    way = Broker(mqtt(mosquitto.port), BASE, Patience(silence_s=0.5))
    with pytest.raises(SlowRetrievalError, match="serve"):
        list(way.read("metadata/timestamp.json"))
    way.close()


def test_no_broker(mosquitto: Mosquitto) -> None:
    mosquitto.kill()
    way = Broker(mqtt(mosquitto.port), BASE, Patience(silence_s=0.3))
    with pytest.raises(DownloadError, match="no connection"):
        list(way.read("metadata/timestamp.json"))
    way.close()


def test_the_server_cannot_be_made_to_speak_on_other_topics(
    mosquitto: Mosquitto, repository: ReleaseRepository
) -> None:
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    with serving(mosquitto, repository.public), Scada(mosquitto.port) as scada:
        for topic, body in (
            (f"{BASE}/update/desired", b'{"path":"metadata/timestamp.json","offset":0,"length":100}'),
            (f"{BASE}/update/piece", b"\xff garbage"),
            (f"{BASE}/update/piece", b'{"path":"metadata/timestamp.json","offset":0,"length":100}'),
        ):
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.ResponseTopic = topic
            scada._client.publish(PIECE_REQUEST_TOPIC, body, 1, properties=properties).wait_for_publish(5)
        answers = scada.wait_for("/update/piece", 2)
        assert [dict(answer.properties["UserProperty"])["status"] for answer in answers] == ["400", "200"]
        assert not scada.on("/update/desired")
