"""Sparkplug B's payload on the wire (chapter 6): Protocol Buffers, as far as a station uses them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from agent.grammar.schema import Scalar

_MESSAGES = {
    "Metric": {
        "name": (1, "STRING"),
        "timestamp": (3, "UINT64"),
        "datatype": (4, "UINT32"),
        "is_null": (7, "BOOL"),
        "long_value": (11, "UINT64"),
        "double_value": (13, "DOUBLE"),
        "boolean_value": (14, "BOOL"),
        "string_value": (15, "STRING"),
    },
    "Payload": {"timestamp": (1, "UINT64"), "metrics": (2, "Metric"), "seq": (3, "UINT64")},
}
"""Number and type of each field that is used; all others are passed over."""
_DATATYPES: dict[type[Scalar], tuple[int, str]] = {
    bool: (11, "boolean_value"),
    int: (4, "long_value"),
    float: (10, "double_value"),
    str: (12, "string_value"),
}
"""Number of the data type, and the field that holds its values."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A value with its name and time; integers are not negative."""

    name: str
    kind: type[Scalar]
    value: Scalar | None
    """None: not known."""
    time: datetime


def encode(metrics: Iterable[Metric], now: datetime, seq: int | None) -> bytes:
    """Write a payload.

    Each metric says its data type. By payloads-metric-datatype-not-req only births should, but Eclipse Tahu's
    own JavaScript takes a value without its type for null.

    Args:
        metrics: in order.
        now: when it is published.
        seq: 0 to 255; None: it has none.
    """
    payload = _PAYLOAD(timestamp=_milliseconds(now), seq=seq)
    for metric in metrics:
        datatype, field = _DATATYPES[metric.kind]
        time_ms = _milliseconds(metric.time)
        written = payload.metrics.add(name=metric.name, timestamp=time_ms, datatype=datatype)
        if metric.value is None:
            written.is_null = True
        else:
            setattr(written, field, metric.value)
    return bytes(payload.SerializeToString())


def asks_for(raw: bytes, name: str) -> bool:
    """Tell whether a host's command sets the metric `name` to true; what cannot be read asks for nothing."""
    try:
        metrics = _PAYLOAD.FromString(raw).metrics
        return any(metric.name == name and metric.boolean_value for metric in metrics)
    except (DecodeError, UnicodeDecodeError):
        return False


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _payload_class() -> Any:
    file = FileDescriptorProto(name="sparkplug_b.proto", package="sparkplug", syntax="proto2")
    for message, fields in _MESSAGES.items():
        described = DescriptorProto(name=message)
        for name, (number, kind) in fields.items():
            field = described.field.add(name=name, number=number)
            field.label = FieldDescriptorProto.LABEL_OPTIONAL
            if kind in _MESSAGES:
                field.label = FieldDescriptorProto.LABEL_REPEATED
                field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".sparkplug.{kind}"
            else:
                field.type = getattr(FieldDescriptorProto, f"TYPE_{kind}")
        file.message_type.append(described)
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("sparkplug.Payload"))


_PAYLOAD = _payload_class()
