"""Reading a grammar from its file."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from agent.errors import GrammarError, not_utf8
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
    except UnicodeDecodeError as error:
        line, byte = not_utf8(error)
        message = f"{path}: {byte} in line {line} is no UTF-8. Save the file as UTF-8"
        raise GrammarError(message) from None
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        reason = getattr(error, "strerror", None) or error
        raise GrammarError(f"{path}: cannot be read: {reason}. Name a grammar file") from None
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
        # Pydantic takes a list whose only entry is faulty for an empty one, too.
        details = [
            detail for detail in error.errors() if detail["type"] != "too_short" or not detail["input"]
        ]
        found = {fault for detail in details for fault in _faults(detail, source)}
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
    key = detail["loc"][-1] == "[key]"
    yield source.fault(path, "schema", f"{where}: {message}", advice, key=key)


def _in_file(location: Sequence[str | int], source: Source) -> tuple[str | int, ...]:
    """The path in the file: pydantic's location without the names of its union members."""
    path: tuple[str | int, ...] = ()
    for step in location:
        if (*path, step) in source.values:
            path = (*path, step)
    return path
