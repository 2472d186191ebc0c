"""A grammar to the automaton of all its sentences, word by word."""

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial

from hassil.expression import Expression, ListReference, RuleReference

from agent.errors import GrammarError
from agent.grammar.automaton import Automata, ConflictError
from agent.grammar.fault import Fault, FaultyGrammarError
from agent.grammar.graph import SlotValue, Word
from agent.grammar.schema import BUILTIN, Command, Grammar, NamedValues, NumberRange
from agent.grammar.slots import SlotDefinition, phrases, values
from agent.grammar.source import Path, nearest
from agent.grammar.template import SlotCounts, TemplateError, parse, references, slot_counts
from agent.grammar.words import IGNORED, TemplateStates, WordStates


@dataclass(frozen=True, slots=True)
class Sentences:
    """All sentences of a grammar."""

    automata: Automata
    start: int
    words: tuple[Word, ...]
    """What the symbols of `automata` are."""
    commands: tuple[Command, ...]
    """What the outcomes of `automata` are."""
    slot_values: Mapping[tuple[str, str], Mapping[str, SlotValue]]
    """As in `Graph`."""

    def count(self) -> int:
        """How many sentences there are; counted, not listed."""
        return self.automata.counts(self.start)[self.start]


@dataclass
class Templates:
    """The parsed templates of a grammar, and the faults found on the way."""

    grammar: Grammar
    sentences: list[tuple[Command, Path, Expression]] = field(default_factory=list)
    rules: dict[str, Expression] = field(default_factory=dict)
    meanings: dict[int, Mapping[str, SlotValue]] = field(default_factory=dict)
    """What is said to what it means, by the identity of each list's definition."""
    counts: dict[str, SlotCounts] = field(default_factory=dict)
    """Per rule, how often each slot may be filled."""
    faults: list[Fault] = field(default_factory=list)

    def definition(self, command: Command, reference: ListReference) -> SlotDefinition | None:
        """What `reference` in a sentence of `command` stands for; None if nothing."""
        inline = reference.get_inline_range()
        if inline:
            try:
                low, high, step = map(Decimal, inline)
                return NumberRange(minimum=low, maximum=high, step=step)
            except ValueError:
                return None
        name = reference.list_name
        return command.slots.get(name) or self.grammar.lists.get(name)

    def slots(self, command: Command) -> set[str]:
        """Slots that a sentence of `command` may fill."""
        expressions = [expression for owner, _, expression in self.sentences if owner.name == command.name]
        return {slot for expression in expressions for slot in slot_counts(expression, self.counts)}


def parse_templates(grammar: Grammar) -> Templates:
    """Parse all templates of `grammar`; what is wrong with them is in `faults`."""
    templates = Templates(grammar)
    for name, text in grammar.rules.items():
        expression = _parse(templates, text, ("rules", name))
        if expression:
            templates.rules[name] = expression
    _order_rules(templates)
    for command in grammar.all_commands():
        for index, text in enumerate(command.sentences):
            path: Path = ("commands", command.name, "sentences", index)
            if command.builtin:
                path = (command.name.removeprefix(BUILTIN), index)
            expression = _parse(templates, text, path)
            if expression:
                templates.sentences.append((command, path, expression))
                _check_references(templates, command, expression, path, text)
                _check_slots_once(templates, expression, path)
    _check_values(templates)
    return templates


def build_sentences(templates: Templates) -> Sentences:
    """Build the automaton of all sentences; no template may be faulty.

    Raises:
        FaultyGrammarError: one sentence belongs to two commands, or is empty.
        GrammarError: the grammar is too large.
    """
    return _Builder(templates).build()


class _Builder:
    def __init__(self, templates: Templates) -> None:
        self.templates = templates
        self.grammar = templates.grammar
        self.commands = templates.grammar.all_commands()
        self.store = WordStates(templates.grammar.language)
        self.slot_values: dict[tuple[str, str], list[Mapping[str, SlotValue]]] = {}
        self.definitions: dict[tuple[str, str], tuple[int, Mapping[str, SlotValue]]] = {}
        """Per (command, list): the state of its spoken values, and what they mean."""
        self.shared: dict[int, tuple[int, Mapping[str, SlotValue]]] = {}
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
                message, _, advice = str(error).partition(". ")
                fault = self.grammar.source.fault(path, "too_large", message, advice or "Simplify it")
                raise FaultyGrammarError([fault]) from None
        start = self.union(starts)
        if self.store.automata.outcomes[start] >= 0:
            name = self.commands[self.store.automata.outcomes[start]].name
            message, advice = (
                f"`{name}` has a sentence without words",
                "Make one word of each sentence obligatory",
            )
            raise FaultyGrammarError(
                [self.grammar.source.fault(self.path(name), "empty_sentence", message, advice)]
            )
        merged = {key: _chained(held) for key, held in self.slot_values.items()}
        return Sentences(self.store.automata, start, tuple(self.store.words), self.commands, merged)

    def fill(self, command: Command, reference: ListReference, after: int) -> int:
        """The state of any value of a list in a sentence of `command`, marked as its slot, then `after`."""
        key = command.name, reference.list_name
        if key not in self.definitions:
            definition = self.templates.definition(command, reference)
            if definition is None:
                raise GrammarError(f"list `{reference.list_name}` is not defined")
            if id(definition) not in self.shared or reference.is_inline_range:
                meaning = self.templates.meanings.get(id(definition))
                if meaning is None:  # a range in place
                    meaning = values(definition, self.grammar.language)
                self.shared[id(definition)] = (
                    phrases(definition, self.store, self.store.automata.state({}, 0)), meaning
                )  # fmt: skip
            self.definitions[key] = self.shared[id(definition)]
        state, meaning = self.definitions[key]
        held = self.slot_values.setdefault((command.name, reference.slot_name), [])
        if not any(meaning is other for other in held):
            held.append(meaning)
        return self.mark(state, reference.slot_name, after)

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
            message, advice = (
                f"`{sentence}` belongs to both `{first}` and `{second}`",
                "Change one of the two",
            )
            fault = self.grammar.source.fault(self.path(second), "same_sentence", message, advice)
            raise FaultyGrammarError([fault]) from None

    def path(self, command: str) -> Path:
        """Where the sentences of `command` stand."""
        return next(path for owner, path, _ in self.templates.sentences if owner.name == command)


def _chained(held: list[Mapping[str, SlotValue]]) -> Mapping[str, SlotValue]:
    return held[0] if len(held) == 1 else ChainMap(*held)  # type: ignore[arg-type]


def _parse(templates: Templates, text: str, path: Path) -> Expression | None:
    source = templates.grammar.source
    try:
        expression = parse(text)
    except TemplateError as error:
        advice = "Correct the template: (a|b), [a], (a;b), {list}, {list:slot}, <rule>"
        templates.faults.append(source.fault(path, "template", str(error), advice, offset=error.offset))
        return None
    plain = text
    for reference in references(expression):
        name = reference.rule_name if isinstance(reference, RuleReference) else reference.list_name
        plain = plain.replace(name, "")
    for offset, character in enumerate(text):
        if not (character.isalnum() or character in IGNORED or character in "'’()[]{}<>|;\\_@"):
            advice = "Write it as it is said, in letters"
            message = f"`{character}` cannot be said"
            templates.faults.append(source.fault(path, "unknown_character", message, advice, offset=offset))
            return None
    return expression


def _check_references(
    templates: Templates, command: Command | None, expression: Expression, path: Path, text: str
) -> None:
    """Note what `expression` names and the grammar lacks. `command` is None in a rule: any may use it."""
    grammar = templates.grammar
    source = grammar.source
    for reference in references(expression):
        if isinstance(reference, RuleReference):
            if reference.rule_name not in grammar.rules:
                message = f"rule `{reference.rule_name}` is not defined"
                advice = nearest(reference.rule_name, list(grammar.rules))
                offset = max(0, text.find(f"<{reference.rule_name}"))
                templates.faults.append(source.fault(path, "undefined_rule", message, advice, offset=offset))
            continue
        offset = max(0, text.find("{" + reference.list_name))
        if reference.is_capture or not reference.slot_name.replace("_", "a").isalnum():
            advice = "Write {list} or {list:slot}"
            message = f"`{{{reference.list_name}}}` is no list reference"
            templates.faults.append(source.fault(path, "template", message, advice, offset=offset))
        elif command and not templates.definition(command, reference):
            message = f"list `{reference.list_name}` is not defined"
            advice = nearest(reference.list_name, [*command.slots, *grammar.lists])
            templates.faults.append(source.fault(path, "undefined_list", message, advice, offset=offset))


def _order_rules(templates: Templates) -> None:
    """Find cycles of rules and count the slots of the others."""
    source = templates.grammar.source
    done: set[str] = set()
    for root in templates.rules:
        stack: list[tuple[str, bool]] = [(root, False)]
        open_rules: list[str] = []
        while stack:
            name, leaving = stack.pop()
            if leaving:
                open_rules.pop()
                done.add(name)
                templates.counts[name] = slot_counts(templates.rules[name], templates.counts)
            elif name in open_rules:
                cycle = " -> ".join([*open_rules[open_rules.index(name) :], name])
                advice = "A rule may not lead back to itself"
                templates.faults.append(
                    source.fault(("rules", name), "cycle", f"rules form a cycle: {cycle}", advice)
                )
            elif name not in done:
                open_rules.append(name)
                stack.append((name, True))
                named = (
                    r.rule_name for r in references(templates.rules[name]) if isinstance(r, RuleReference)
                )
                stack.extend((child, False) for child in named if child in templates.rules)
    for name, expression in templates.rules.items():
        _check_references(templates, None, expression, ("rules", name), templates.grammar.rules[name])


def _check_slots_once(templates: Templates, expression: Expression, path: Path) -> None:
    for slot, (_, most) in slot_counts(expression, templates.counts).items():
        if most > 1:
            message = f"slot `{slot}` may be filled twice in one sentence"
            advice = "Give the second one its own name: {list:other_name}"
            templates.faults.append(templates.grammar.source.fault(path, "slot_twice", message, advice))


def _check_values(templates: Templates) -> None:
    """Check the templates within lists: they may name no list and no rule, and mean one value."""
    grammar = templates.grammar
    lists: list[tuple[Path, SlotDefinition]] = [
        (("lists", name), entry) for name, entry in grammar.lists.items()
    ]
    for command in grammar.commands.values():
        lists += [(("commands", command.name, "slots", name), entry) for name, entry in command.slots.items()]
    for path, definition in lists:
        before = len(templates.faults)
        if isinstance(definition, NamedValues):
            inner = (*path, "values") if (*path, "values") in grammar.source.values else path
            for index, named in enumerate(definition.values):
                _check_value(templates, named.spoken, (*inner, index, "in"))
        elif isinstance(definition, NumberRange) and definition.unit is not None:
            _check_value(templates, definition.unit, (*path, "unit"))
        if len(templates.faults) == before:
            try:
                templates.meanings[id(definition)] = values(definition, grammar.language)
            except GrammarError as error:
                message, advice = str(error), "Give each value its own words"
                templates.faults.append(grammar.source.fault(path, "values", message, advice))


def _check_value(templates: Templates, text: str, path: Path) -> None:
    expression = _parse(templates, text, path)
    if expression and any(True for _ in references(expression)):
        advice = "Write the words out here"
        message = "the words of a value may name no list and no rule"
        templates.faults.append(templates.grammar.source.fault(path, "template", message, advice))
