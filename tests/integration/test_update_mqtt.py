"""Updates through a real mosquitto, for plants where nothing but the broker can be reached."""

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from pydantic import SecretStr
from tuf.api.exceptions import DownloadError, DownloadHTTPError, SlowRetrievalError

from agent.messaging.channel import PIECE_BYTES
from agent.messaging.contract import PIECE_REQUEST_TOPIC, PieceRequest
from agent.updates.download import download
from agent.updates.probation import Terms
from agent.updates.repository import ReleaseRepository
from agent.updates.state import Phase
from agent.updates.transports.mqtt import MAX_WAITING, Broker, Server
from agent.updates.transports.transport import Timeouts
from tests.integration.brokers import (
    PATIENCE_S,
    Mosquitto,
    Scada,
    eventually,
    mosquitto,
    needs_mosquitto,
    publish_malformed,
)
from tests.messaging.examples import mqtt
from tests.updates.house import Obedient, make_repository, make_updater, release, wish

__all__ = ["mosquitto"]
pytestmark = needs_mosquitto
ACL = Path(__file__).parents[2] / "docs" / "mqtt" / "mosquitto.acl"
BASE = "acme/lyon/assembly/l3/c7/voice/press-2"
CONTENT = bytes(range(256)) * 1500
BRISK = Timeouts(silence_s=2, tries=8, max_pause_s=0.2)


@pytest.fixture
def repository(tmp_path: Path) -> ReleaseRepository:
    repository = make_repository(tmp_path / "repository")
    release(
        repository, "model/press/1.0.0", {"model.onnx": CONTENT, "exact": b"x" * PIECE_BYTES, "empty": b""}
    )
    repository.publish()
    return repository


@contextlib.contextmanager
def serving(broker: Mosquitto, folder: Path, kind: type[Server] = Server) -> Iterator[Server]:
    server = kind(mqtt(broker.port), folder)
    try:
        assert server.ready.wait(PATIENCE_S)
        yield server
    finally:
        server.close()


def test_the_command_serves_with_an_account_alone(repository: ReleaseRepository, tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)
    address = f"127.0.0.1:{broker.port}"
    config = tmp_path / "account.toml"
    config.write_text(f'[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\n')
    command = [
        *(sys.executable, "-c", "from agent.cli import main; main()"),
        *("update", "serve", str(repository.public), "--config", str(config)),
    ]
    way = Broker(mqtt(broker.port), BASE, BRISK)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"waiting for the broker {address}\n"
        with broker:
            assert process.stdout.readline() == f"offering {repository.public} at {address}\n"
            updater = make_updater(tmp_path / "station", repository, Obedient(), way, terms=Terms(0, 0))
            updater.start()
            updater.wish(wish("model/press/1.0.0"))
            assert eventually(lambda: updater.state.phase is Phase.COMMITTED)
            updater.stop()
        process.terminate()


def test_a_whole_update(mosquitto: Mosquitto, repository: ReleaseRepository, tmp_path: Path) -> None:
    way = Broker(mqtt(mosquitto.port), BASE, BRISK)
    with serving(mosquitto, repository.public):
        updater = make_updater(tmp_path / "station", repository, Obedient(), way, terms=Terms(0, 0))
        updater.start()
        updater.wish(wish("model/press/1.0.0"))
        assert eventually(lambda: updater.state.phase is Phase.COMMITTED)
        updater.stop()
    assert updater.parts.model
    assert (updater.parts.model / "model.onnx").read_bytes() == CONTENT
    assert (updater.parts.model / "exact").stat().st_size == PIECE_BYTES


def test_a_whole_update_within_the_access_list_that_we_ship(
    repository: ReleaseRepository, tmp_path: Path
) -> None:
    passwords = tmp_path / "passwords"
    passwords.touch(0o600)
    for user in ("press-2", "press-3", "updates"):
        subprocess.run(
            ["mosquitto_passwd", "-b", str(passwords), user, "pw"], check=True, capture_output=True
        )
    config = f"allow_anonymous false\npassword_file {passwords}\nacl_file {ACL}"
    with Mosquitto(tmp_path, config) as broker:
        server = Server(mqtt(broker.port, username="updates", password=SecretStr("pw")), repository.public)
        mine = Broker(mqtt(broker.port, username="press-2", password=SecretStr("pw")), BASE, BRISK)
        updater = make_updater(tmp_path / "station", repository, Obedient(), mine, terms=Terms(0, 0))
        updater.start()
        updater.wish(wish("model/press/1.0.0"))
        assert eventually(lambda: updater.state.phase is Phase.COMMITTED)
        updater.stop()
        timeouts = Timeouts(silence_s=1)
        others = Broker(mqtt(broker.port, username="press-3", password=SecretStr("pw")), BASE, timeouts)
        with pytest.raises(SlowRetrievalError, match="may this station"):
            list(others.read("metadata/timestamp.json"))
        others.close()
        server.close()


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
    way = Broker(mqtt(mosquitto.port), BASE, Timeouts(silence_s=0.5))
    with pytest.raises(SlowRetrievalError, match=f"serve.*read {BASE}/update/piece"):
        list(way.read("metadata/timestamp.json"))
    way.close()


def test_no_broker(mosquitto: Mosquitto) -> None:
    mosquitto.kill()
    way = Broker(mqtt(mosquitto.port), BASE, Timeouts(silence_s=0.3))
    with pytest.raises(DownloadError, match="no connection"):
        list(way.read("metadata/timestamp.json"))
    way.close()


def ask(scada: Scada, response_topic: str, body: bytes) -> None:
    """Publish a request as anybody at the broker might."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ResponseTopic = response_topic
    scada._client.publish(PIECE_REQUEST_TOPIC, body, 1, properties=properties).wait_for_publish(5)


def test_malformed_messages_that_the_broker_retains_end_no_download(
    mosquitto: Mosquitto, repository: ReleaseRepository
) -> None:
    publish_malformed(mosquitto.port, PIECE_REQUEST_TOPIC)
    publish_malformed(mosquitto.port, f"{BASE}/update/piece")
    with serving(mosquitto, repository.public):
        way = Broker(mqtt(mosquitto.port), BASE, BRISK)
        assert b"".join(way.read("metadata/timestamp.json"))
        way.close()


REQUEST = b'{"path":"metadata/timestamp.json","offset":0,"length":100}'


def test_the_server_cannot_be_made_to_speak_on_other_topics(
    mosquitto: Mosquitto, repository: ReleaseRepository
) -> None:
    with serving(mosquitto, repository.public), Scada(mosquitto.port) as scada:
        ask(scada, f"{BASE}/update/desired", REQUEST)
        ask(scada, f"{BASE}/update/piece", b"\xff garbage")
        ask(scada, f"{BASE}/update/piece", REQUEST)
        answers = scada.wait_for("/update/piece", 2)
        assert [dict(answer.properties["UserProperty"])["status"] for answer in answers] == ["400", "200"]
        assert not scada.on("/update/desired")


@pytest.mark.parametrize("topic", ["#/update/piece", "+/update/piece", "a/+/b/update/piece"])
def test_the_server_does_not_stumble_over_what_cannot_be_a_topic(
    mosquitto: Mosquitto, repository: ReleaseRepository, topic: str
) -> None:
    with serving(mosquitto, repository.public) as server, Scada(mosquitto.port) as scada:
        message = paho.MQTTMessage()
        message.payload = REQUEST
        message.properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        message.properties.ResponseTopic = topic
        server._answer(None, None, message)  # brokers may refuse such a message, and may not
        ask(scada, f"{BASE}/update/piece", REQUEST)
        assert scada.wait_for("/update/piece", 1)


def test_a_peer_that_floods_and_forges_the_pieces(
    mosquitto: Mosquitto, repository: ReleaseRepository, tmp_path: Path
) -> None:
    """It sees the requests, answers all of them wrongly and before the server, and sends much besides."""
    way = Broker(mqtt(mosquitto.port), BASE, BRISK)
    piece_topic = f"{BASE}/update/piece"
    over = threading.Event()

    def flood(scada: Scada) -> None:
        while not over.is_set():
            scada._client.publish(piece_topic, bytes(3_000_000), 0)
            scada._client.publish(piece_topic, b"junk", 0)
            time.sleep(0.02)

    with serving(mosquitto, repository.public), Scada(mosquitto.port) as scada:
        thread = threading.Thread(target=flood, args=(scada,))
        thread.start()
        updater = make_updater(tmp_path / "station", repository, Obedient(), way, terms=Terms(0, 0))
        updater.start()
        updater.wish(wish("model/press/1.0.0"))
        assert eventually(lambda: updater.state.phase is Phase.COMMITTED)
        assert way._pieces.qsize() <= MAX_WAITING
        over.set()
        thread.join()
        updater.stop()


class Forger(Server):
    """Answers in place of the server, with pieces of the right length."""

    def _read(self, raw: bytes) -> tuple[int, bytes]:
        status, piece = super()._read(raw)
        forged = PieceRequest.model_validate_json(raw).path.startswith("objects/")
        return status, bytes(len(piece)) if forged else piece


def test_forged_pieces_end_in_a_refusal(
    mosquitto: Mosquitto, repository: ReleaseRepository, tmp_path: Path
) -> None:
    way = Broker(mqtt(mosquitto.port), BASE, BRISK)
    station = Obedient()
    with serving(mosquitto, repository.public, Forger):
        updater = make_updater(tmp_path / "station", repository, station, way, terms=Terms(0, 0))
        updater.start()
        updater.wish(wish("model/press/1.0.0"))
        assert eventually(lambda: bool(updater.state.reason))
        updater.stop()
    assert not station.swaps
