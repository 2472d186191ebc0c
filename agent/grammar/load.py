"""Reading a grammar from its file."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from agent.errors import GrammarError
from agent.grammar.fault import Fault, FaultyGrammarError
from agent.grammar.schema import Grammar, explained, with_source
from agent.grammar.source import MAX_BYTES, Source, read


def load_grammar(path: Path | str) -> Grammar:
    """Read and validate the grammar at `path`.

    Raises:
        FaultyGrammarError: it is no YAML or breaks the schema; each fault has its line and column.
        GrammarError: the file cannot be read.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1).decode()
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or a path with a null byte
        raise GrammarError(f"{path}: cannot be read as UTF-8 text: {error}") from None
    return parse_grammar(text, str(path))


def parse_grammar(text: str, file: str = "<grammar>") -> Grammar:
    """Validate the YAML `text` of a grammar; `file` is what faults call it.

    Raises:
        FaultyGrammarError: as `load_grammar`.
    """
    value, source = read(text, file)
    if not isinstance(value, dict):
        advice = "Begin with `name:` and `commands:`"
        raise FaultyGrammarError([source.fault((), "schema", "a grammar is a mapping", advice)])
    try:
        return with_source(Grammar.model_validate(value), source)
    except ValidationError as error:
        found = {fault for detail in error.errors() for fault in _faults(detail, source)}
        raise FaultyGrammarError(sorted(found)) from None


def _faults(detail: ErrorDetails, source: Source) -> Iterator[Fault]:
    path = _in_file(detail["loc"], source)
    context = detail.get("ctx", {})
    if detail["type"] == "unknown_key":
        path = ("commands", context["command"]) if "command" in context else path
        for name, advice in context["keys"].items():
            yield source.fault((*path, name), "unknown_key", f"unknown key `{name}`", advice, key=True)
        return
    message, advice = explained(detail)
    if detail["type"] == "missing":
        message, advice = f"`{detail['loc'][-1]}` is missing", "Add it"
    where = ".".join(map(str, path)) or "the grammar"
    yield source.fault(path, "schema", f"{where}: {message}", advice)


def _in_file(location: Sequence[str | int], source: Source) -> tuple[str | int, ...]:
    """The path in the file: pydantic's location without the names of its union members."""
    path: tuple[str | int, ...] = ()
    for step in location:
        if (*path, step) in source.values:
            path = (*path, step)
    return path
