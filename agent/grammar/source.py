"""YAML text to plain values, with the place of every value.

Stricter than plain YAML, because a grammar decides what a machine does: only `true` and `false` are
booleans (so `on`, `off`, `yes` and `no` stay the words they are), a key stands once, and anchors, aliases
and tags are refused. Size and depth are bounded, so that no file can hang the agent.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

from agent.errors import GrammarError
from agent.grammar.fault import Fault, FaultyGrammarError, Severity

Plain: TypeAlias = "str | int | float | bool | list[Plain] | dict[str, Plain] | None"
Path: TypeAlias = tuple[str | int, ...]

MAX_BYTES = 8_000_000
MAX_DEPTH = 16

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})?\.[0-9]{1,17}")
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Place:
    """Line and column, both counted from 1."""

    line: int = 1
    column: int = 1
    inline: bool = False
    """The text stands on one line, so an offset into it is an offset into the line."""

    def shifted(self, offset: int) -> "Place":
        """The place `offset` characters into this text."""
        return Place(self.line, self.column + offset, self.inline) if self.inline else self


@dataclass(frozen=True, slots=True)
class Source:
    """Where the parts of a grammar stand in its file."""

    file: str = "<grammar>"
    values: Mapping[Path, Place] = field(default_factory=dict)
    keys: Mapping[Path, Place] = field(default_factory=dict)

    def place(self, path: Sequence[str | int]) -> Place:
        """The place of the value at `path`, or of the nearest thing around it that has one."""
        for length in range(len(path), -1, -1):
            place = self.values.get(tuple(path[:length]))
            if place:
                return place
        return Place()

    def fault(  # a fault is six facts; grouping them would only rename them
        self,
        path: Sequence[str | int],
        code: str,
        message: str,
        advice: str,
        severity: Severity = Severity.ERROR,
        *,
        offset: int = 0,
        key: bool = False,
    ) -> Fault:
        """A fault at the value (or at the key) of `path`, `offset` characters into it."""
        place = (self.keys.get(tuple(path)) if key else None) or self.place(path).shifted(offset)
        return Fault(self.file, place.line, place.column, severity, code, message, advice)

    def fault_of(self, path: Sequence[str | int], code: str, error: GrammarError) -> Fault:
        """An error that knows no place, `what is wrong. What to do`, as a fault at `path`."""
        message, _, advice = str(error).rpartition(". ")
        return self.fault(path, code, message, advice)


def read(text: str, file: str) -> tuple[Plain, Source]:
    """Read YAML `text`.

    Raises:
        FaultyGrammarError: no YAML, or YAML that a grammar may not hold.
    """
    reader = _Reader(file)
    try:
        reader.guard(text)
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        advice = (
            "Put a text that holds any of [ ] { } : # in quotes, and indent with spaces, "
            "what stands side by side equally far"
        )
        raise reader.refusal(mark, "yaml", f"not valid YAML: {error.problem}", advice) from None
    except yaml.reader.ReaderError as error:  # a mark on a character that YAML may not hold
        before = text.encode()[: error.position].decode(errors="ignore")
        mark = yaml.Mark(file, 0, before.count("\n"), len(before) - before.rfind("\n") - 1, None, 0)
        message = f"character U+{error.character:04X} is not allowed"
        raise reader.refusal(mark, "yaml", f"not valid YAML: {message}", "Remove it") from None
    except (yaml.YAMLError, ValueError) as error:
        raise reader.refusal(None, "yaml", f"not valid YAML: {error}") from None
    value = reader.value(node, ()) if node else None
    return value, Source(file, reader.values, reader.keys)


class _Reader:
    def __init__(self, file: str) -> None:
        self.file = file
        self.values: dict[Path, Place] = {}
        self.keys: dict[Path, Place] = {}

    def refusal(
        self, mark: Any, code: str, message: str, advice: str = "Correct the file"
    ) -> FaultyGrammarError:
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        return FaultyGrammarError([Fault(self.file, line, column, Severity.ERROR, code, message, advice)])

    def guard(self, text: str) -> None:
        """Refuse what could hang or crash the reading of the tree, before it is built."""
        if len(text.encode(errors="replace")) > MAX_BYTES:
            raise self.refusal(None, "too_large", f"larger than {MAX_BYTES} bytes", "Split the grammar")
        depth = 0
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise self.refusal(
                    event.start_mark,
                    "anchor",
                    "anchors and aliases are not allowed",
                    "Use `rules:` or `lists:`",
                )
            tag = getattr(event, "tag", None)
            if tag:
                raise self.refusal(event.start_mark, "tag", f"tag {tag} is not allowed", "Remove the tag")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    raise self.refusal(
                        event.start_mark, "too_deep", f"nested deeper than {MAX_DEPTH}", "Flatten it"
                    )
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1

    def value(self, node: yaml.Node, path: Path) -> Plain:
        quoted = isinstance(node, yaml.ScalarNode) and node.style in ("'", '"')
        inline = node.start_mark.line == node.end_mark.line
        self.values[path] = Place(node.start_mark.line + 1, node.start_mark.column + 1 + quoted, inline)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        style = getattr(node, "style", None)
        return str(node.value) if style else _scalar(node.value)

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Plain]:
        result: dict[str, Plain] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self.refusal(
                    key_node.start_mark, "key", "a key must be a plain word", "Correct the key"
                )
            key = str(key_node.value)
            if key in result:
                raise self.refusal(
                    key_node.start_mark, "duplicate", f"`{key}` stands twice", "Rename or remove one of them"
                )
            self.keys[*path, key] = Place(key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            result[key] = self.value(value_node, (*path, key))
        return result


def _scalar(text: str) -> str | int | float | bool | None:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
