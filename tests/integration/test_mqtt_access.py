"""Who may connect and what they may say: passwords, certificates, the access list that we ship."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from agent.commands.events import Fate
from agent.messaging import twin
from agent.messaging.channel import Senders
from agent.messaging.client import Link
from agent.messaging.contract import (
    KINDS,
    Claim,
    Desired,
    Inhibit,
    MachineState,
    Reject,
    Response,
    SelfTest,
    State,
    Status,
    Talk,
)
from agent.messaging.inbound import Admitted
from agent.messaging.namespace import Namespace
from agent.settings import Tls
from tests.integration.brokers import Mosquitto, Scada, eventually, needs_mosquitto
from tests.messaging.examples import NAMESPACE, STATION, command, mqtt

pytestmark = needs_mosquitto
DOCS = Path(__file__).parents[2] / "docs" / "mqtt"
PASSWORD = "s3cret"  # noqa: S105 - of this test


@contextmanager
def running(namespace: Namespace, port: int, **settings: Any) -> Iterator[Link]:
    link = Link(mqtt(port, **settings), namespace)
    link.start()
    try:
        yield link
    finally:
        link.stop()


def send(link: Link) -> Fate:
    assert eventually(lambda: link.health().connected)
    return link.command(command(), "x", time.monotonic() + 2).result(3).fate


# --- passwords


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker with our access list and two users."""
    passwords = tmp_path / "passwords"
    passwords.touch(0o600)
    for user in ("press-2", "press-3", "scada", "rollout"):
        subprocess.run(
            ["mosquitto_passwd", "-b", str(passwords), user, PASSWORD], check=True, capture_output=True
        )
    config = f"allow_anonymous false\npassword_file {passwords}\nacl_file {DOCS / 'mosquitto.acl'}"
    with Mosquitto(tmp_path, config) as broker:
        yield broker


def test_a_station_speaks_for_itself_and_for_no_other(guarded: Mosquitto) -> None:
    user = {"username": "press-2", "password": SecretStr(PASSWORD)}
    other = Namespace.of(STATION.model_copy(update={"id": "press-3"}))
    with Scada(guarded.port, username="scada", password=PASSWORD) as scada:
        with running(NAMESPACE, guarded.port, **user) as link:
            assert send(link) is Fate.ACKNOWLEDGED
            scada.wait_for("press-2/command/x")
        with running(other, guarded.port, **user) as link:
            assert send(link) is Fate.REFUSED
            link.publish(Reject(time=datetime.now(UTC), reason="background", heard=command().heard))
            assert eventually(lambda: link.health().dropped_total.get("refused_by_broker") == 1)
        assert not [message for message in scada.received if "press-3" in message.topic]


def test_a_station_that_may_not_say_how_it_is_has_no_link_and_says_why(guarded: Mosquitto) -> None:
    """As where its id is not its name at the broker: nobody would see it, and it would call itself well."""
    foreign = mqtt(guarded.port, username="press-3", password=SecretStr(PASSWORD), reconnect_spread_s=60)
    link = Link(foreign, NAMESPACE)
    with capture_logs() as logs:
        link.publish(State(time=datetime.now(UTC), status=Status.ONLINE))
        link.start()
        assert eventually(lambda: link.health().reason)
    health = link.health()
    link.stop()
    assert not health.connected
    assert "does not let this station say" in health.reason
    assert f"{NAMESPACE.base}/state: Not authorized" in health.reason
    assert [log["topic"] for log in logs if log["event"] == "message_not_taken"] == [NAMESPACE.topic(State)]


def test_where_the_broker_keeps_states_back_without_a_word_there_is_no_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stations of a cell would not know of each other, and all act on what they heard."""
    monkeypatch.setattr(twin, "ECHO_S", 1.0)
    access = tmp_path / "acl"
    rules = (DOCS / "mosquitto.acl").read_text().replace("pattern read +/+/+/+/+/voice/+/state\n", "")
    access.write_text(rules.replace("%u", "+").replace("pattern", "topic"))
    config = f"allow_anonymous true\nacl_file {access}"
    with Mosquitto(tmp_path, config) as broker:
        link = Link(mqtt(broker.port, reconnect_spread_s=60), NAMESPACE)
        link.publish(State(time=datetime.now(UTC), status=Status.ONLINE))
        link.start()
        assert eventually(lambda: "keeps `state` from this station" in link.health().reason)
        assert not link.health().connected
        link.stop()


def test_scada_answers_and_cannot_speak_for_a_station(guarded: Mosquitto) -> None:
    heard: list[Admitted] = []
    link = Link(
        mqtt(guarded.port, username="press-2", password=SecretStr(PASSWORD)),
        NAMESPACE,
        on_inbound=heard.append,
    )
    link.start()
    assert eventually(lambda: link.health().connected)
    with Scada(guarded.port, username="scada", password=PASSWORD) as scada:
        scada.publish(f"{NAMESPACE.base}/state", "{}", retain=True)
        answer = Response(time=datetime.now(UTC), command_id=command().id, outcome="done")
        scada.publish(NAMESPACE.topic(Response), answer.model_dump_json())
        assert eventually(lambda: [message.payload for message in heard] == [answer])
        assert scada.on("/state") == []
    link.stop()


def test_a_station_may_hear_all_that_the_contract_lets_it_hear(guarded: Mosquitto) -> None:
    heard: list[Admitted] = []
    link = Link(
        mqtt(guarded.port, username="press-2", password=SecretStr(PASSWORD)),
        NAMESPACE,
        on_inbound=heard.append,
    )
    link.watch(frozenset({"door"}))
    link.start()
    peer = Namespace.of(STATION.model_copy(update={"id": "press-3"}))
    now = datetime.now(UTC)
    plant = [
        (NAMESPACE.topic(Response), Response(time=now, command_id=command().id, outcome="done")),
        (NAMESPACE.topic(Talk), Talk(time=now, pressed=True)),
        (NAMESPACE.topic(SelfTest), SelfTest(time=now)),
        (NAMESPACE.topic(Inhibit), Inhibit(time=now, active=True, who="Kim", why="oil")),
        (NAMESPACE.topic(MachineState, "door"), MachineState(time=now, value="open")),
    ]
    with (
        Scada(guarded.port, username="scada", password=PASSWORD) as scada,
        Scada(guarded.port, username="rollout", password=PASSWORD) as rollout,
        running(peer, guarded.port, username="press-3", password=SecretStr(PASSWORD)) as other,
    ):
        assert eventually(lambda: link.health().connected and other.health().connected)
        other.publish(State(time=now, status=Status.ONLINE))
        other.publish(Claim(time=now, command_id=command().id, command="stop"))
        for topic, payload in plant:
            scada.publish(topic, payload.model_dump_json())
        rollout.publish(NAMESPACE.topic(Desired), Desired(time=now, follow="stable").model_dump_json())
        audible = {kind for kind in KINDS if kind.channel.heard is not Senders.NONE}
        assert eventually(lambda: {type(message.payload) for message in heard} == audible), heard
    link.stop()


def test_a_wrong_password_is_named_and_tried_again(guarded: Mosquitto) -> None:
    with running(NAMESPACE, guarded.port, username="press-2", password=SecretStr("wrong")) as link:
        assert eventually(lambda: "Not authorized" in link.health().reason)
        assert not link.health().connected
        assert link.command(command(), "x", time.monotonic() + 2).result(0).fate is Fate.NOT_SENT


# --- certificates


class Authority:
    """A certificate authority of our own."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.certificate = folder / f"{name}.crt"
        self.key = folder / f"{name}.key"
        self._openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
            *("-subj", f"/CN={name}", "-keyout", self.key, "-out", self.certificate),
        )

    def issue(self, name: str, file: str) -> tuple[Path, Path]:
        """Certify `name`; overwrites what the file held before."""
        certificate, key, request = (self.folder / f"{file}.{end}" for end in ("crt", "key", "csr"))
        extensions = self.folder / "extensions"
        extensions.write_text(f"subjectAltName=DNS:{name},IP:127.0.0.1\n")
        self._openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", f"/CN={name}", "-keyout", key, "-out", request),
        )
        self._openssl(
            *("x509", "-req", "-days", "2", "-in", request, "-CA", self.certificate, "-CAkey", self.key),
            *("-CAcreateserial", "-extfile", extensions, "-out", certificate),
        )
        return certificate, key

    @staticmethod
    def _openssl(*arguments: object) -> None:
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "plant")


@pytest.fixture
def tls_broker(tmp_path: Path, authority: Authority) -> Iterator[Mosquitto]:
    """The configuration that we ship, with certificates of the test."""
    certificate, key = authority.issue("localhost", "broker")
    shipped = (DOCS / "mosquitto.conf").read_text().splitlines()
    config = "\n".join(line for line in shipped if not line.startswith(("listener", "#")))
    config += f"\npersistence_location {tmp_path}/"
    for name, path in (
        ("/etc/mosquitto/certs/ca.crt", authority.certificate),
        ("/etc/mosquitto/certs/broker.crt", certificate),
        ("/etc/mosquitto/certs/broker.key", key),
        ("/etc/mosquitto/voxline.acl", DOCS / "mosquitto.acl"),
    ):
        assert name in config
        config = config.replace(name, str(path))
    with Mosquitto(tmp_path, config) as broker:
        yield broker


def test_a_lockout_outlives_a_crash_of_the_broker(tmp_path: Path) -> None:
    """Kept as the shipped configuration says; mosquitto alone would save it within half an hour."""
    shipped = (DOCS / "mosquitto.conf").read_text().splitlines()
    kept = [line for line in shipped if line.startswith(("persistence", "autosave"))]
    config = "\n".join(["allow_anonymous true", f"persistence_location {tmp_path}/", *kept])
    lockout = Inhibit(time=datetime.now(UTC), active=True, who="Ada", why="die change").model_dump_json()
    topic, saved = NAMESPACE.topic(Inhibit), tmp_path / "mosquitto.db"
    with Mosquitto(tmp_path, config) as broker:
        with Scada(broker.port) as scada:
            scada.publish(topic, lockout, retain=True)
            assert eventually(lambda: saved.exists() and b"die change" in saved.read_bytes())
        broker.kill()
        broker.start()
        with Scada(broker.port) as scada:
            (found,) = scada.wait_for("/inhibit")
    assert found.payload == lockout.encode()


def test_a_certificate_is_who_the_station_is(tls_broker: Mosquitto, authority: Authority) -> None:
    certificate, key = authority.issue("press-2", "station")
    tls = Tls(ca=authority.certificate, certificate=certificate, key=key)
    with running(NAMESPACE, tls_broker.port, tls=tls) as link:
        assert send(link) is Fate.ACKNOWLEDGED
    other = Namespace.of(STATION.model_copy(update={"id": "press-3"}))
    with running(other, tls_broker.port, tls=tls) as link:
        assert send(link) is Fate.REFUSED


def test_a_renewed_certificate_is_taken_without_a_restart(
    tmp_path: Path, tls_broker: Mosquitto, authority: Authority
) -> None:
    (tmp_path / "stranger").mkdir()
    certificate, key = Authority(tmp_path / "stranger", "stranger").issue("press-2", "station")
    tls = Tls(ca=authority.certificate, certificate=certificate, key=key)
    with running(NAMESPACE, tls_broker.port, tls=tls) as link:
        assert eventually(lambda: "UNKNOWN_CA" in link.health().reason), link.health().reason
        renewed = authority.issue("press-2", "renewed")
        for new, old in zip(renewed, (certificate, key), strict=True):
            new.rename(old)
        assert send(link) is Fate.ACKNOWLEDGED


def test_a_broker_that_is_not_ours_is_refused(tmp_path: Path, tls_broker: Mosquitto) -> None:
    (tmp_path / "stranger").mkdir()
    stranger = Authority(tmp_path / "stranger", "stranger")
    with running(NAMESPACE, tls_broker.port, tls=Tls(ca=stranger.certificate)) as link:
        assert eventually(lambda: "CERTIFICATE_VERIFY_FAILED" in link.health().reason)
        assert not link.health().connected


def test_missing_certificate_files_are_named_and_waited_for(
    tls_broker: Mosquitto, authority: Authority
) -> None:
    certificate, key = authority.issue("press-2", "station")
    moved = key.rename(key.with_suffix(".away"))
    tls = Tls(ca=authority.certificate, certificate=certificate, key=key)
    with running(NAMESPACE, tls_broker.port, tls=tls) as link:
        assert eventually(lambda: "No such file" in link.health().reason), link.health().reason
        moved.rename(key)
        assert send(link) is Fate.ACKNOWLEDGED
