"""Events outlive broker outages, kills of the agent and a full disk; commands do not wait for any of it."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from structlog.testing import capture_logs

from agent.commands.events import Fate
from agent.messaging.client import Link
from agent.messaging.contract import Delivery, Reject, Response
from agent.messaging.outbox import Outbox
from tests.integration.brokers import Mosquitto, Scada, eventually, mosquitto, needs_mosquitto
from tests.integration.chaos import ChaosProxy
from tests.messaging.examples import NAMESPACE, command, mqtt
from tests.messaging.test_outbox import small_disk

__all__ = ["mosquitto", "small_disk"]
pytestmark = needs_mosquitto


@contextmanager
def running(port: int, outbox: Outbox) -> Iterator[Link]:
    link = Link(mqtt(port), NAMESPACE, outbox=outbox)
    link.start()
    try:
        yield link
    finally:
        link.stop()
        outbox.close()


def delivery(number: int) -> Delivery:
    now = datetime.now(UTC)
    fate = Fate.ACKNOWLEDGED
    return Delivery(time=now, command_id=command().id, fate=fate, reason=str(number), latency_seconds=0.1)


def reasons(scada: Scada) -> list[int]:
    """Numbers of the deliveries in the order in which they first came."""
    numbers = [int(json.loads(message.payload)["reason"]) for message in scada.on("/event/delivery")]
    return list(dict.fromkeys(numbers))


def test_events_of_an_outage_arrive_afterwards_and_the_command_does_not(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    mosquitto.kill()
    with running(mosquitto.port, Outbox(tmp_path / "outbox.sqlite")) as link:
        for number in range(50):
            link.publish(delivery(number))
        assert link.command(command(), "x", time.monotonic() + 2).result(0).fate is Fate.NOT_SENT
        assert link.health().outbox_messages == 50
        mosquitto.start()
        with Scada(mosquitto.port) as scada:
            # Whoever subscribes late hears what comes from then on; the link needs a moment to return.
            link.publish(delivery(50))
            scada.wait_for("/event/delivery", 1)
            assert eventually(lambda: link.health().outbox_messages == 0)
            assert eventually(lambda: reasons(scada)[-1] == 50)
            assert scada.on("/command/x") == []


def test_every_event_arrives_in_order_through_a_bad_network(tmp_path: Path, mosquitto: Mosquitto) -> None:
    draw = random.Random(5)
    with (
        Scada(mosquitto.port) as scada,
        ChaosProxy(mosquitto.port) as proxy,
        running(proxy.port, Outbox(tmp_path / "outbox.sqlite")) as link,
    ):
        for number in range(300):
            link.publish(delivery(number))
            if number % 30 == 0:
                proxy.reset()
            if number % 70 == 0:
                proxy.stalled = True
                time.sleep(draw.uniform(0, 0.3))
                proxy.stalled = False
        assert eventually(lambda: link.health().outbox_messages == 0)
        assert eventually(lambda: reasons(scada) == list(range(300)))


AGENT = """
import os, sys, time
from pathlib import Path
import structlog
from agent.messaging.client import Link
from agent.messaging.outbox import Outbox
from tests.integration.test_mqtt_outbox import delivery
from tests.messaging.examples import NAMESPACE, mqtt
structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        link = Link(mqtt(int(sys.argv[1])), NAMESPACE, outbox=Outbox(Path(sys.argv[2])))
        link.start()
        number = int(line)
        while True:
            link.publish(delivery(number))
            os.write(1, b"%d\\n" % number)
            number += 1
    os.write(1, b"%d\\n" % -child)  # at once: `print` may write twice, and the child between
    os.wait()
"""


def test_no_event_is_lost_when_the_agent_is_killed(tmp_path: Path, mosquitto: Mosquitto) -> None:
    draw = random.Random(11)
    path = tmp_path / "outbox.sqlite"
    published: list[int] = []
    agent = subprocess.Popen(
        [sys.executable, "-c", AGENT, str(mosquitto.port), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert agent.stdin
    assert agent.stdout
    with Scada(mosquitto.port) as scada:
        for kill in range(20):
            agent.stdin.write(f"{kill * 100_000}\n")
            agent.stdin.flush()
            child = 0
            enough = draw.randrange(1, 60)
            while not child or enough:
                number = int(agent.stdout.readline())
                if number < 0:
                    child = -number
                else:
                    published.append(number)
                    enough = max(0, enough - 1)
            os.kill(child, signal.SIGKILL)
        agent.stdin.close()
        published += [int(line) for line in agent.stdout]
        agent.wait()
        with running(mosquitto.port, Outbox(path)) as link:
            assert eventually(lambda: link.health().connected and link.health().outbox_messages == 0)
        assert eventually(lambda: set(published) <= set(reasons(scada)))
        arrived = reasons(scada)
    assert arrived == sorted(arrived)


def test_an_outbox_that_cannot_be_read_fills_no_journal(tmp_path: Path, mosquitto: Mosquitto) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite")
    outbox._reader.close()
    with (
        capture_logs() as logs,
        Scada(mosquitto.port) as scada,
        running(mosquitto.port, outbox=outbox) as link,
    ):
        assert eventually(lambda: link.health().connected)
        for _ in range(100):
            scada.publish(NAMESPACE.topic(Response), b"{}")
        assert eventually(lambda: link.health().refused_total.get("malformed", 0) > 90)
        assert link.command(command(), "x", time.monotonic() + 2).result(3).fate is Fate.ACKNOWLEDGED
    assert 1 <= sum(entry["event"] == "outbox_failed" for entry in logs) <= 3


def test_a_full_disk_takes_the_memory_of_events_and_nothing_else(
    small_disk: Path, mosquitto: Mosquitto
) -> None:
    with (
        Scada(mosquitto.port) as scada,
        running(mosquitto.port, Outbox(small_disk / "outbox.sqlite")) as link,
    ):
        assert eventually(lambda: link.health().connected)
        with contextlib.suppress(OSError):
            (small_disk / "ballast").write_bytes(b"\0" * 2**20)
        for number in range(200):
            link.publish(delivery(number))
        link.publish(Reject(time=datetime.now(UTC), reason="background", heard=command().heard))
        assert link.command(command(), "x", time.monotonic() + 2).result(3).fate is Fate.ACKNOWLEDGED
        scada.wait_for("/event/reject")
        assert eventually(lambda: sorted(reasons(scada)) == list(range(200)))
