"""What the demonstration needs of its broker, tried with plain clients."""

import socket
import time

import psutil

from agent.demo.broker import broker
from agent.messaging.client import Link
from agent.messaging.session import Session
from tests.integration.brokers import HOST, Scada, eventually
from tests.messaging.examples import NAMESPACE, command, mqtt, offline


def test_last_will_is_published_and_retained() -> None:
    with broker() as port, Scada(port) as scada:
        will = offline()
        session = Session(mqtt(port), "station", will, [], print, bool, print)
        session.abort()
        (published,) = scada.wait_for("/state")
        assert published.payload == will.payload
        with Scada(port) as late:
            late.wait_for("/state")


def test_mqtt5_properties_pass_through() -> None:
    with broker() as port, Scada(port) as scada:
        link = Link(mqtt(port), NAMESPACE)
        link.start()
        assert eventually(lambda: link.health().connected)
        order = command()
        link.command(order, "speed", time.monotonic() + 2).result(3)
        (received,) = scada.wait_for("/command/speed")
        link.stop()
    assert received.properties["CorrelationData"] == order.id.bytes
    assert received.properties["ResponseTopic"] == f"{NAMESPACE.base}/response"
    assert received.properties["MessageExpiryInterval"] in (0, 1)
    assert dict(received.properties["UserProperty"])["specversion"] == "1.0"


def test_nothing_is_left_behind() -> None:
    with broker() as port:
        children = psutil.Process().children()
        assert children
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
    with socket.socket() as sock:
        assert sock.connect_ex((HOST, port)) != 0
