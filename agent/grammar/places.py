"""Where the parts of a grammar stand in its file: lists, texts that are spoken, and what faults are about."""

import re
from collections.abc import Iterator, Sequence

from agent.grammar.lexicon import HAN
from agent.grammar.schema import BUILTIN, Command, Grammar, NamedValues, NumberRange, SlotList
from agent.grammar.source import Path


def lists_of(grammar: Grammar) -> Iterator[tuple[Path, SlotList]]:
    """Yield every list, with its path in the file."""
    yield from ((("lists", name), entry) for name, entry in grammar.lists.items())
    for command in grammar.commands.values():
        yield from ((list_path(command, name), entry) for name, entry in command.slots.items())


def list_path(command: Command, name: str) -> Path:
    """The path of the list that `name` is in a sentence of `command`: its own goes first."""
    return ("commands", command.name, "slots", name) if name in command.slots else ("lists", name)


def values_path(grammar: Grammar, path: Path) -> Path:
    """Where the values of the list at `path` stand: in it, or in its `values`."""
    return (*path, "values") if (*path, "values") in grammar.source.values else path


def sentences_path(command: Command) -> Path:
    """The path of the sentences of `command`."""
    return (
        (command.name.removeprefix(BUILTIN),) if command.builtin else ("commands", command.name, "sentences")
    )


def texts_of(grammar: Grammar, path: Path, entry: SlotList) -> Iterator[tuple[Path, str]]:
    """Yield every text of the list at `path` that is spoken, with its path in the file."""
    if isinstance(entry, NamedValues):
        inner = values_path(grammar, path)
        yield from (((*inner, index, "in"), named.spoken) for index, named in enumerate(entry.values))
    elif isinstance(entry, NumberRange) and entry.unit is not None:
        yield (*path, "unit"), entry.unit


def place_of_word(grammar: Grammar, word: str) -> tuple[Path, int]:
    """Where `word` is first written, as (path, offset in its text); the top of the file if nowhere."""
    written, letter = re.escape(word), rf"(?!{HAN.pattern})\w"
    pattern = re.compile(rf"(?<!{letter}){written}(?!{letter})" if word.isascii() else written, re.IGNORECASE)
    for path, text in _texts(grammar):
        match = pattern.search(text)
        if match:
            return path, match.start()
    return (), 0


def place_of_commands(grammar: Grammar, commands: Sequence[str]) -> Path:
    """Where to report what is wrong between `commands`: at the last that stands in the file."""
    names = [name for name in commands if name in grammar.commands]
    return sentences_path(grammar.commands[names[-1]]) if names else ("confirm",)


def _texts(grammar: Grammar) -> Iterator[tuple[Path, str]]:
    """Every text of the grammar that is spoken, with its path in the file."""
    for key, phrases in (("wake", grammar.wake), ("confirm", grammar.confirm), ("cancel", grammar.cancel)):
        yield from (((key, index), text) for index, text in enumerate(phrases))
    for command in grammar.commands.values():
        yield from (((*sentences_path(command), index), text) for index, text in enumerate(command.sentences))
    yield from ((("rules", name), text) for name, text in grammar.rules.items())
    for path, entry in lists_of(grammar):
        yield from texts_of(grammar, path, entry)
