"""The contract as an AsyncAPI 3 document, made from the payload models."""

from typing import Any

import yaml
from pydantic.json_schema import models_json_schema

from agent.messaging.contract import CONTENT_TYPE, INBOUND, OUTBOUND, Command, Payload, Response

_LEVELS = {
    "enterprise": "Company",
    "site": "Plant",
    "area": "Area of the plant",
    "line": "Line",
    "cell": "Cell",
    "station": "Station that listens",
}
_BINDING = "0.2.0"


def document() -> dict[str, Any]:
    """Build the document."""
    kinds = (*OUTBOUND, *INBOUND)
    _, schema = models_json_schema(
        [(kind, "serialization") for kind in OUTBOUND] + [(kind, "validation") for kind in INBOUND],
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
        "servers": {
            "plant": {"host": "broker:1883", "protocol": "mqtt5", "description": "The broker in [mqtt]."}
        },
        "channels": {_name(kind): _channel(kind) for kind in kinds},
        "operations": {_operation_name(kind): _operation(kind) for kind in kinds},
        "components": {
            "messages": {kind.__name__: _message(kind) for kind in kinds},
            "schemas": schema["$defs"] | {"CloudEvent": _cloud_event()},
        },
    }


def text() -> str:
    """Write the document as YAML."""
    head = "# Made from agent/messaging/contract.py by `voxline contract asyncapi`: do not edit.\n"
    return head + yaml.safe_dump(document(), sort_keys=False, allow_unicode=True, width=110)


def _name(kind: type[Payload]) -> str:
    return kind.__name__[0].lower() + kind.__name__[1:]


def _operation_name(kind: type[Payload]) -> str:
    return f"{'receive' if kind.channel.inbound else 'publish'}{kind.__name__}"


def _channel(kind: type[Payload]) -> dict[str, Any]:
    parameters = dict(_LEVELS)
    if kind.channel.suffixed:
        parameters["topic"] = "What the grammar says, one level or more"
    place = "/".join(f"{{{level}}}" for level in list(_LEVELS)[:-1])
    suffix = "/{topic}" if kind.channel.suffixed else ""
    return {
        "address": f"{place}/voice/{{station}}/{kind.channel.name}{suffix}",
        "messages": {kind.__name__: {"$ref": f"#/components/messages/{kind.__name__}"}},
        "parameters": {name: {"description": description} for name, description in parameters.items()},
    }


def _operation(kind: type[Payload]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "action": "receive" if kind.channel.inbound else "send",
        "channel": {"$ref": f"#/channels/{_name(kind)}"},
        "messages": [{"$ref": f"#/channels/{_name(kind)}/messages/{kind.__name__}"}],
        "bindings": {
            "mqtt": {"qos": kind.channel.qos, "retain": kind.channel.retain, "bindingVersion": _BINDING}
        },
    }
    if kind is Command:
        operation["reply"] = {"channel": {"$ref": f"#/channels/{_name(Response)}"}}
    return operation


def _message(kind: type[Payload]) -> dict[str, Any]:
    summary, _, rest = (kind.__doc__ or "").partition("\n")
    message: dict[str, Any] = {"name": kind.__name__, "title": summary, "contentType": CONTENT_TYPE}
    if rest.strip():
        message["description"] = " ".join(rest.split())
    if not kind.channel.inbound:
        message["headers"] = {"$ref": "#/components/schemas/CloudEvent"}
    message["payload"] = {"$ref": f"#/components/schemas/{kind.__name__}"}
    binding: dict[str, Any] = {"contentType": CONTENT_TYPE, "bindingVersion": _BINDING}
    if kind is Command:
        binding["correlationData"] = {"type": "string", "description": "The 16 bytes of the command's id."}
        binding["responseTopic"] = {"type": "string", "description": "Where the answer goes."}
    message["bindings"] = {"mqtt": binding}
    return message


def _cloud_event() -> dict[str, Any]:
    text_type = {"type": "string", "minLength": 1}
    return {
        "title": "CloudEvents attributes",
        "description": "User properties of every message that a station publishes.",
        "type": "object",
        "properties": {
            "specversion": {"const": "1.0"},
            "id": text_type,
            "source": {"type": "string", "format": "uri-reference"},
            "type": text_type,
            "time": {"type": "string", "format": "date-time"},
        },
        "required": ["specversion", "id", "source", "type", "time"],
    }
