"""A broker for the demonstration: rumqttd in a child process, on a free port, gone afterwards."""

import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import iotcore
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from agent.errors import MessagingError

HOST = "127.0.0.1"
START_TIMEOUT_S = 10.0

# Only a configuration file makes rumqttd speak MQTT 5; from options alone it speaks 3.1.1.
_CONFIG = """
id = 0

[router]
id = 0
max_connections = 100
max_outgoing_packet_count = 200
max_segment_size = 1048576
max_segment_count = 10

[v5.1]
name = "v5-1"
listen = "{host}:{port}"
next_connection_delay_ms = 1
    [v5.1.connections]
    connection_timeout_ms = 5000
    max_payload_size = 65536
    max_inflight_count = 100
    dynamic_filters = true
"""


@contextmanager
def broker() -> Iterator[int]:
    """Run a broker that speaks MQTT 5; gives its port on 127.0.0.1 once it answers.

    Raises:
        MessagingError: it did not answer within 10 s.

    """
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="voxline-broker-") as folder:
        config = Path(folder, "rumqttd.toml")
        config.write_text(_CONFIG.format(host=HOST, port=port))
        child = iotcore.Broker(config_path=str(config))
        try:
            child.start(START_TIMEOUT_S)
            _wait_for_answer(port)
            yield port
        except (OSError, RuntimeError) as error:
            raise MessagingError(f"the demonstration broker did not start on port {port}: {error}") from error
        finally:
            child.stop()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


def _wait_for_answer(port: int) -> None:
    """Listening is not answering: wait until a CONNECT of MQTT 5 is accepted."""
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.connect(HOST, port)
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while not client.is_connected():
        if time.monotonic() > deadline_s or client.loop(0.1) != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise MessagingError(f"the demonstration broker on port {port} does not speak MQTT 5")
    client.disconnect()
