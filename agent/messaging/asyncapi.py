"""The contract as an AsyncAPI 3 document, made from the payload models."""

from typing import Any

import yaml
from pydantic.json_schema import models_json_schema

from agent.messaging.channel import CONTENT_TYPE, Senders
from agent.messaging.contract import KINDS, Command, Response
from agent.messaging.payload import Payload

_CELL = {
    "enterprise": "Company",
    "site": "Plant",
    "area": "Area of the plant",
    "line": "Line",
    "cell": "Cell",
}
_PARAMETERS = _CELL | {
    "station": "Station that listens",
    "topic": "One level or more: what the grammar says for a command, the name of a machine state",
}
_BINDING = "0.2.0"


def document() -> dict[str, Any]:
    """Build the document."""
    _, schema = models_json_schema(
        [(kind, "serialization" if kind.channel.spoken else "validation") for kind in KINDS],
        ref_template="#/components/schemas/{model}",
    )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Voxline station",
            "version": Payload.model_fields["schema_version"].default,
            "description": (
                "What a station publishes and obeys. Times are UTC. CloudEvents attributes travel as MQTT "
                "user properties. Voice is never a safety function: no command here is an emergency stop."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {"plant": {"host": "broker:1883", "protocol": "mqtt5"}},
        "channels": {_name(kind): _channel(kind) for kind in KINDS},
        "operations": {
            f"{verb}{kind.__name__}": _operation(kind, action)
            for kind in KINDS
            for verb, action, applies in (
                ("publish", "send", kind.channel.spoken),
                ("hear", "receive", kind.channel.heard is not Senders.NONE),
            )
            if applies
        },
        "components": {
            "messages": {kind.__name__: _message(kind) for kind in KINDS},
            "schemas": schema["$defs"] | {"CloudEvent": _cloud_event()},
        },
    }


def text() -> str:
    """Write the document as YAML."""
    head = "# Made from agent/messaging/contract.py by `voxline contract asyncapi`: do not edit.\n"
    return head + yaml.safe_dump(document(), sort_keys=False, allow_unicode=True, width=110)


def _name(kind: type[Payload]) -> str:
    return kind.__name__[0].lower() + kind.__name__[1:]


def _channel(kind: type[Payload]) -> dict[str, Any]:
    cell = "/".join(f"{{{level}}}" for level in _CELL)
    address = kind.channel.address.replace("{cell}", cell)
    parameters = {name: text for name, text in _PARAMETERS.items() if f"{{{name}}}" in address}
    return {
        "address": address,
        "messages": {kind.__name__: {"$ref": f"#/components/messages/{kind.__name__}"}},
        "parameters": {name: {"description": text} for name, text in parameters.items()},
    }


def _operation(kind: type[Payload], action: str) -> dict[str, Any]:
    binding: dict[str, Any] = {"qos": kind.channel.qos, "retain": kind.channel.retain}
    if kind.channel.expiry_s is not None:
        binding["messageExpiryInterval"] = kind.channel.expiry_s
    operation: dict[str, Any] = {
        "action": action,
        "channel": {"$ref": f"#/channels/{_name(kind)}"},
        "messages": [{"$ref": f"#/channels/{_name(kind)}/messages/{kind.__name__}"}],
        "bindings": {"mqtt": binding | {"bindingVersion": _BINDING}},
    }
    if kind is Command:
        operation["reply"] = {"channel": {"$ref": f"#/channels/{_name(Response)}"}}
    return operation


def _message(kind: type[Payload]) -> dict[str, Any]:
    summary, _, rest = (kind.__doc__ or "").partition("\n")
    message: dict[str, Any] = {"name": kind.__name__, "title": summary, "contentType": CONTENT_TYPE}
    if rest.strip():
        message["description"] = " ".join(rest.split())
    if kind.channel.spoken:
        message["headers"] = {"$ref": "#/components/schemas/CloudEvent"}
    message["payload"] = {"$ref": f"#/components/schemas/{kind.__name__}"}
    binding: dict[str, Any] = {"contentType": CONTENT_TYPE, "bindingVersion": _BINDING}
    if kind is Command:
        binding["correlationData"] = {"type": "string", "description": "The 16 bytes of the command's id."}
        binding["responseTopic"] = {"type": "string", "description": "Where the answer goes."}
    message["bindings"] = {"mqtt": binding}
    return message


def _cloud_event() -> dict[str, Any]:
    return {
        "title": "CloudEvents attributes",
        "description": "User properties of every message that a station publishes.",
        "type": "object",
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string", "format": "uuid"},
            "source": {"type": "string", "format": "uri-reference"},
            "type": {"type": "string", "pattern": r"^voxline\.[a-z.]+\.v1$"},
            "time": {"type": "string", "format": "date-time"},
        },
        "required": ["specversion", "id", "source", "type", "time"],
    }
