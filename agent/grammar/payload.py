"""Payload templates: plain JSON values in which "{slot}" stands for what was said."""

import json
import re
from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from agent.grammar.schema import Scalar

_SLOT = re.compile(r"\{([A-Za-z][A-Za-z0-9_]*)\}")
_ABSENT = object()


def slots_in(template: JsonValue) -> Iterator[str]:
    """The slots that a payload template names."""
    if isinstance(template, str):
        yield from _SLOT.findall(template)
    elif isinstance(template, list):
        for item in template:
            yield from slots_in(item)
    elif isinstance(template, dict):
        for item in template.values():
            yield from slots_in(item)


def render(template: JsonValue, slots: Mapping[str, Scalar]) -> JsonValue:
    """Fill a payload template.

    "{slot}" alone keeps the type of the value; within a longer text it is written out, as JSON does. A list
    item or object member that names a slot which was not said is left out; a whole payload that does becomes
    None.
    """
    filled = _render(template, slots)
    return None if filled is _ABSENT else filled  # type: ignore[return-value]


def _render(template: JsonValue, slots: Mapping[str, Scalar]) -> object:
    if isinstance(template, list):
        items = (_render(item, slots) for item in template)
        return [item for item in items if item is not _ABSENT]
    if isinstance(template, dict):
        members = ((key, _render(item, slots)) for key, item in template.items())
        return {key: item for key, item in members if item is not _ABSENT}
    if not isinstance(template, str):
        return template
    named = _SLOT.findall(template)
    if any(slot not in slots for slot in named):
        return _ABSENT
    if _SLOT.fullmatch(template):
        return slots[named[0]]
    return _SLOT.sub(lambda match: _written(slots[match[1]]), template)


def _written(value: Scalar) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)
