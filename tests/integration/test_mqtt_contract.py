"""Live traffic, recorded at a real broker, against the published AsyncAPI document."""

import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from agent.commands.events import Answer, Fate
from agent.demo.broker import broker
from agent.health.snapshot import Outcome
from agent.messaging.client import Link
from agent.messaging.compose import health
from agent.messaging.contract import (
    KINDS,
    Accept,
    Audio,
    Claim,
    Delivery,
    Engine,
    Grammar,
    Inhibition,
    Meaning,
    Question,
    Reject,
    Response,
    SelfTested,
    Settled,
    State,
    Status,
    Update,
    Updated,
)
from agent.messaging.inbound import Admitted
from agent.messaging.payload import Payload
from tests.health.test_report import WELL
from tests.integration.brokers import Mosquitto, Received, Scada, eventually, mosquitto, needs_mosquitto
from tests.integration.npm import installed
from tests.messaging.examples import NAMESPACE, command, mqtt

__all__ = ["mosquitto"]
DOCUMENT = yaml.safe_load((Path(__file__).parents[2] / "docs" / "asyncapi.yaml").read_text())


SPOKEN = {kind.__name__[0].lower() + kind.__name__[1:] for kind in KINDS if kind.channel.spoken}


def one_of_each() -> list[Payload]:
    now, order = datetime.now(UTC), command()
    return [
        State(time=now, status=Status.ONLINE, text="listening"),
        health(WELL, (), now),
        Accept(time=now, command_id=order.id, meaning=order.meaning, heard=order.heard),
        Reject(time=now, reason="background", heard=order.heard, meaning=Meaning(command="stop")),
        Question(
            time=now, command_id=order.id, meaning=order.meaning, heard=order.heard, text="sure?", until=now
        ),
        Claim(time=now, command_id=order.id, command="set_speed"),
        Settled(time=now, command_id=order.id, answer=Answer.NO_ANSWER, latency_seconds=2.0),
        Inhibition(time=now, active=True, who="Ada", why="die change"),
        Update(time=now, phase="probation", active="0123", releases=("model/press/1.2.0",)),
        Updated(
            time=now, number=3, outcome="committed", reason="heard 40 commands", releases=(), active="0123"
        ),
        Delivery(time=now, command_id=order.id, fate=Fate.ACKNOWLEDGED, latency_seconds=0.3),
        Engine(time=now, engine="onnx", reason="no NPU on this machine", fallback=True),
        Audio(time=now, event="stuck", source="USB microphone", reason="digital silence"),
        SelfTested(time=now, outcome=Outcome.FAILED, utterance="start.opus", reason="heard as nothing"),
        Grammar(time=now, event="loaded", grammar="demo@0123"),
    ]


def record(port: int) -> list[Received]:
    with Scada(port) as scada:
        link = Link(mqtt(port, flat_values=True), NAMESPACE)
        payloads = one_of_each()
        link.publish(payloads[0])
        link.start()
        scada.wait_for("/state")
        for payload in payloads[1:]:
            link.publish(payload)
        for suffix in ("speed", "line/speed"):
            link.command(command(), suffix, time.monotonic() + 2).result(3)
        scada.wait_for("/event/grammar")
        link.stop()
        scada.wait_for("/state", 2)
        return list(scada.received)


def check(received: Received, faithful: bool = True) -> str:
    """Validate a message as an integrator's tool would, from the document alone; gives its channel."""
    (name,) = (
        name for name, channel in DOCUMENT["channels"].items() if matches(channel["address"], received.topic)
    )
    (operation,) = (
        operation
        for operation in DOCUMENT["operations"].values()
        if operation["channel"]["$ref"] == f"#/channels/{name}" and operation["action"] == "send"
    )
    binding = operation["bindings"]["mqtt"]
    if faithful:
        assert (received.qos, received.retain) == (binding["qos"], binding["retain"])
    (message_name,) = DOCUMENT["channels"][name]["messages"]
    message = DOCUMENT["components"]["messages"][message_name]
    validate(json.loads(received.payload), message["payload"])
    validate(dict(received.properties["UserProperty"]), message["headers"])
    assert received.properties["ContentType"] == message["contentType"]
    return str(name)


def matches(address: str, topic: str) -> bool:
    pattern = re.escape(address).replace(r"\{topic\}", ".+")
    return re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", pattern), topic) is not None


def validate(value: object, schema: dict[str, Any]) -> None:
    jsonschema.validate(
        value,
        {**DOCUMENT, **schema},
        cls=jsonschema.Draft202012Validator,
        format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
    )


@needs_mosquitto
def test_mosquitto_traffic_keeps_the_contract(mosquitto: Mosquitto) -> None:
    seen = {check(received) for received in record(mosquitto.port)}
    assert seen == SPOKEN


def test_demo_broker_traffic_keeps_the_contract() -> None:
    """rumqttd passes on neither the quality of service nor the mark of retained messages."""
    with broker() as port:
        seen = {check(received, faithful=False) for received in record(port)}
    assert seen == SPOKEN


def test_the_document_is_asyncapi_3() -> None:
    """By the schema that AsyncAPI publishes."""
    modules = installed("@asyncapi/specs@6.11.1")
    schema = json.loads((modules / "@asyncapi/specs/schemas/3.0.0-without-$id.json").read_text())
    judge = jsonschema.Draft7Validator(schema)
    assert [error.message for error in judge.iter_errors(DOCUMENT)] == []
    assert not judge.is_valid(DOCUMENT | {"channels": {"x": {"adress": "y"}}})


def test_the_document_would_catch_a_wrong_message() -> None:
    good = NAMESPACE.message(Inhibition(time=datetime.now(UTC), active=True, who="Ada", why="die change"))
    schema = DOCUMENT["components"]["messages"]["Inhibition"]["payload"]
    validate(json.loads(good.payload), schema)
    for change in ({"active": "perhaps"}, {"time": "yesterday"}, {"surprise": 1}):
        with_fault = json.loads(good.payload) | change
        try:
            validate(with_fault, schema)
        except jsonschema.ValidationError:
            continue
        raise AssertionError(change)


def test_an_answer_made_from_the_document_is_obeyed() -> None:
    schema = DOCUMENT["components"]["schemas"]["Response"]
    assert set(schema["required"]) <= set(Response.model_fields)
    answer = {"time": datetime.now(UTC).isoformat(), "command_id": str(command().id), "outcome": "done"}
    validate(answer, DOCUMENT["components"]["messages"]["Response"]["payload"])
    heard: list[Admitted] = []
    with broker() as port, Scada(port) as scada:
        link = Link(mqtt(port), NAMESPACE, on_inbound=heard.append)
        link.start()
        assert eventually(lambda: link.health().connected)
        scada.publish(NAMESPACE.topic(Response), json.dumps(answer))
        assert eventually(lambda: heard)
        link.stop()
    assert isinstance(heard[0].payload, Response)
