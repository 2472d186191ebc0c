"""A grammar to the automaton of all its sentences, word by word."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from hassil.expression import ListReference

from agent.errors import GrammarError
from agent.grammar.automaton import Automata, ConflictError
from agent.grammar.fault import FaultyGrammarError
from agent.grammar.graph import Interpretation, SlotValues, Word, interpret
from agent.grammar.places import list_path
from agent.grammar.resolve import Templates
from agent.grammar.schema import Command, Scalar
from agent.grammar.slots import chained, phrases
from agent.grammar.source import Path
from agent.grammar.words import TemplateStates, WordStates


@dataclass(frozen=True, slots=True)
class Sentences:
    """All sentences of a grammar."""

    automata: Automata
    start: int
    words: tuple[Word, ...]
    """What the symbols of `automata` are."""
    commands: tuple[Command, ...]
    """What the outcomes of `automata` are."""
    slot_values: SlotValues

    def count(self) -> int:
        """How many sentences there are; counted, not listed."""
        return self.automata.count(self.start)

    def interpret(self, words: Iterable[Word], outcome: int) -> Interpretation:
        """Tell what the words of a sentence with this outcome mean."""
        return interpret(self.commands[outcome].name, words, self.slot_values)


def build_sentences(templates: Templates) -> Sentences:
    """Build the automaton of all sentences; no template may be faulty.

    Raises:
        FaultyGrammarError: one sentence belongs to two commands, or is empty, or the grammar is too large.
    """
    return _Builder(templates).build()


class _Builder:
    def __init__(self, templates: Templates) -> None:
        self.templates = templates
        self.grammar = templates.grammar
        self.commands = templates.grammar.all_commands()
        self.store = WordStates(templates.grammar.language)
        self.slot_values: dict[tuple[str, str], dict[Path, Mapping[str, Scalar]]] = {}
        """Per (command, slot), the lists that fill it."""
        self.spoken: dict[Path, int] = {}
        """Per list, the state of its spoken values."""
        self.marked: dict[tuple[int, int, str, bool], int] = {}

    def build(self) -> Sentences:
        outcomes = {command.name: index for index, command in enumerate(self.commands)}
        builders = [
            TemplateStates(self.store, self.templates.rules, partial(self.fill, command))
            for command in self.commands
        ]
        starts = []
        for command, path, expression in self.templates.sentences:
            outcome = outcomes[command.name]
            try:
                starts.append(builders[outcome].before(expression, self.store.automata.state({}, outcome)))
            except GrammarError as error:
                raise self.too_large(path, error) from None
        start = self.union(starts)
        outcome = self.store.automata.outcomes[start]
        if outcome >= 0:
            name = self.commands[outcome].name
            message, advice = (
                f"`{name}` has a sentence without words",
                "Make one word of each sentence obligatory",
            )
            raise self.refusal(name, "empty_sentence", message, advice)
        merged = {key: chained([*held.values()]) for key, held in self.slot_values.items()}
        return Sentences(self.store.automata, start, tuple(self.store.words), self.commands, merged)

    def fill(self, command: Command, reference: ListReference, after: int) -> int:
        """The state of any value of a list in a sentence of `command`, marked as its slot, then `after`."""
        path = list_path(command, reference.list_name)
        definition, meaning = self.templates.lists[path]
        if path not in self.spoken:
            self.spoken[path] = phrases(definition, self.store, self.store.automata.state({}, 0))
        self.slot_values.setdefault((command.name, reference.slot_name), {})[path] = meaning
        return self.mark(self.spoken[path], reference.slot_name, after)

    def mark(self, state: int, slot: str, after: int, *, first: bool = True) -> int:
        """`state` of a slot's values, with the marks of the slot on its first and last word, then `after`."""
        key = state, after, slot, first
        if key not in self.marked:
            automata = self.store.automata
            options = []
            for symbol, target in automata.arcs[state]:
                text, opens = self.store.words[symbol].text, slot if first else None
                if automata.outcomes[target] >= 0:
                    options.append(self.store.say(text, after, opens, slot))
                if automata.arcs[target]:
                    options.append(self.store.say(text, self.mark(target, slot, after, first=False), opens))
            self.marked[key] = self.store.union(options)
        return self.marked[key]

    def union(self, starts: list[int]) -> int:
        try:
            return self.store.union(starts)
        except ConflictError as error:
            first, second = (self.commands[outcome].name for outcome in error.outcomes)
            sentence = " ".join(self.store.words[symbol].text for symbol in error.symbols)
            message = f"`{sentence}` belongs to both `{first}` and `{second}`"
            raise self.refusal(second, "same_sentence", message, "Change one of the two") from None
        except GrammarError as error:
            raise self.too_large(("commands",), error) from None

    def too_large(self, path: Path, error: GrammarError) -> FaultyGrammarError:
        """What an automaton refused, with its place."""
        return FaultyGrammarError([self.grammar.source.fault_of(path, "too_large", error)])

    def refusal(self, command: str, code: str, message: str, advice: str) -> FaultyGrammarError:
        """What is wrong with the sentences of `command`."""
        path = next(path for owner, path, _ in self.templates.sentences if owner.name == command)
        return FaultyGrammarError([self.grammar.source.fault(path, code, message, advice)])
