"""The templates of a grammar, parsed, and whether everything they refer to exists."""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from hassil.expression import Expression, ListReference, RuleReference
from pydantic import ValidationError

from agent.errors import GrammarError
from agent.grammar.fault import Fault, nearest
from agent.grammar.places import list_path, lists_of, sentences_path, texts_of
from agent.grammar.schema import Command, Grammar, NumberRange, Scalar, SlotList, explained
from agent.grammar.slots import disagreement, values
from agent.grammar.source import Path
from agent.grammar.template import SlotCounts, TemplateError, parse, references, slot_counts
from agent.grammar.words import IGNORED

_SLOT = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_MISREAD = re.compile(
    r"\d+(?:,\d+)+(?=[^\d:}]|$)|\d+(?: \d{3})* 000\b|\d+\.\d+\.\d[\d.]*"
    r"|\d+(?:st|nd|rd|th)\b|(?<!\w)–\d+|(?<!\S)- +\d+|(?<![\d.])\.\d+|(?<!{)@",
    re.IGNORECASE,
)
"""A thousand with a comma or a space; `2.5.1`; `1st`; a dash for a minus, or a space behind it; `.5`; `@`.
Not a range in place, `{0..100,5:level}`."""
_SYNTAX = frozenset("'’()[]{}<>|;\\_@")


@dataclass
class Templates:
    """The parsed templates of a grammar, and the faults found on the way."""

    grammar: Grammar
    sentences: list[tuple[Command, Path, Expression]] = field(default_factory=list)
    rules: dict[str, Expression] = field(default_factory=dict)
    lists: dict[Path, tuple[SlotList, Mapping[str, Scalar]]] = field(default_factory=dict)
    """Each list without a fault, and what its spoken words mean; a range in place is named by its text."""
    counts: dict[str, SlotCounts] = field(default_factory=dict)
    """Per rule, how often each slot may be filled."""
    faults: list[Fault] = field(default_factory=list)
    broken: set[Path] = field(default_factory=set)
    """Paths of the templates and lists that have a fault, and all paths above them."""

    def report(self, path: Path, code: str, message: str, advice: str, offset: int = 0) -> None:
        """Note a fault `offset` characters into the text at `path`."""
        self.note(path, self.grammar.source.fault(path, code, message, advice, offset=offset))

    def note(self, path: Path, fault: Fault) -> None:
        """Note what makes the part at `path` unusable."""
        self.faults.append(fault)
        self.broken.update(path[:length] for length in range(1, len(path) + 1))

    def sound(self) -> "Templates":
        """The same without the sentences that have a fault, in themselves or in what they lead to."""

        def whole(command: Command, path: Path, expression: Expression) -> bool:
            return self.broken.isdisjoint({path, *self.leads_to(command, expression)})

        return replace(
            self, sentences=[sentence for sentence in self.sentences if whole(*sentence)], faults=[]
        )

    def leads_to(self, command: Command, expression: Expression) -> set[Path]:
        """Paths of every list and rule that a sentence of `command` leads to."""
        lists = {list_path(command, reference.list_name) for reference in self.lists_in(expression)}
        return lists | {("rules", name) for name in self.rules_in(expression)}

    def lists_in(self, expression: Expression) -> Iterator[ListReference]:
        """Every list that `expression` leads to, through rules too."""
        parts = [expression, *(self.rules[name] for name in self.rules_in(expression) if name in self.rules)]
        for part in parts:
            yield from (reference for reference in references(part) if isinstance(reference, ListReference))

    def rules_in(self, expression: Expression) -> set[str]:
        """Every rule that `expression` leads to."""
        found: set[str] = set()
        stack = [expression]
        while stack:
            for reference in references(stack.pop()):
                if isinstance(reference, RuleReference) and reference.rule_name not in found:
                    found.add(reference.rule_name)
                    stack += [self.rules[reference.rule_name]] if reference.rule_name in self.rules else []
        return found

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
    for name, expression in templates.rules.items():
        _check_references(templates, expression, ("rules", name), grammar.rules[name])
    _order_rules(templates)
    for command in grammar.all_commands():
        for index, text in enumerate(command.sentences):
            path = (*sentences_path(command), index)
            expression = _parse(templates, text, path)
            if expression:
                templates.sentences.append((command, path, expression))
                _check_references(templates, expression, path, text)
                _check_own_lists(templates, command, expression, path)
                _check_slots_once(templates, expression, path)
    _check_values(templates)
    _check_lists_agree(templates)
    return templates


def _parse(templates: Templates, text: str, path: Path) -> Expression | None:
    try:
        expression = parse(text)
    except TemplateError as error:
        advice = "Correct the template: (a|b), [a], (a;b), {list}, {list:slot}, <rule>"
        templates.report(path, "template", str(error), advice, error.offset)
        return None
    if misread := _MISREAD.search(text):
        advice = "Write it in letters, as it is said, or as a number like `1000`, `0.5` or `-5`"
        message = f"`{misread[0]}` would not be read as it is written"
        templates.report(path, "unknown_character", message, advice, misread.start())
        return None
    for offset, character in enumerate(text):
        if not (character.isalnum() or character in IGNORED | _SYNTAX):
            narrow = unicodedata.normalize("NFKC", character)
            advice = (
                f"Write a half-width `{narrow}`"
                if narrow in _SYNTAX
                else "Write it as it is said, in letters"
            )
            message = f"`{character}` cannot be said"
            templates.report(path, "unknown_character", message, advice, offset)
            return None
    return expression


def _check_references(templates: Templates, expression: Expression, path: Path, text: str) -> None:
    """Note rules that the grammar lacks, and lists that neither it nor any command has."""
    grammar = templates.grammar
    lists = {*grammar.lists, *(name for command in grammar.commands.values() for name in command.slots)}
    for reference in references(expression):
        if isinstance(reference, RuleReference):
            name = reference.rule_name
            if name not in grammar.rules:
                message, advice = f"rule `{name}` is not defined", nearest(name, sorted(grammar.rules))
                templates.report(path, "undefined_rule", message, advice, max(0, text.find(f"<{name}")))
            continue
        name = reference.list_name
        offset = max(0, text.find("{" + name), text.find("{@" + name))
        range_misread = ".." in name and not reference.is_inline_range
        if reference.is_capture or range_misread or not _SLOT.fullmatch(reference.slot_name):
            message = f"`{{{name}}}` is no list"
            advice = "Write {list}, {list:slot} or {low..high,step:slot} with whole numbers from 0 on"
            templates.report(path, "template", message, advice, offset)
        elif bounds := reference.get_inline_range():
            _add_inline(templates, name, bounds, path, offset)
        elif name not in lists:
            message, advice = f"list `{name}` is not defined", nearest(name, sorted(lists))
            templates.report(path, "undefined_list", message, advice, offset)


def _check_own_lists(templates: Templates, command: Command, expression: Expression, path: Path) -> None:
    """Note lists that only another command has."""
    grammar = templates.grammar
    elsewhere = {name for other in grammar.commands.values() for name in other.slots}
    for reference in templates.lists_in(expression):
        name = reference.list_name
        if name in elsewhere - command.slots.keys() - grammar.lists.keys():
            message = f"list `{name}` belongs to another command"
            advice = "Move it to `lists:`, or give this command its own"
            templates.report(path, "undefined_list", message, advice)


def _add_inline(
    templates: Templates, name: str, bounds: tuple[int, int, int], path: Path, offset: int
) -> None:
    """Take up a range in place, or note why no list could hold it."""
    low, high, step = map(Decimal, bounds)
    try:
        definition = NumberRange(minimum=low, maximum=high, step=step)
    except ValidationError as error:
        message, advice = explained(error.errors()[0])
        templates.report(path, "schema", f"`{{{name}}}`: {message}", advice, offset)
    else:
        templates.lists["lists", name] = definition, values(definition, templates.grammar.language)


def _order_rules(templates: Templates) -> None:
    """Find cycles of rules and count the slots of the others."""
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
                templates.report(("rules", name), "cycle", f"rules form a cycle: {cycle}", advice)
            elif name not in done:
                open_rules.append(name)
                stack.append((name, True))
                named = (
                    r.rule_name for r in references(templates.rules[name]) if isinstance(r, RuleReference)
                )
                stack.extend((child, False) for child in named if child in templates.rules)


def _check_slots_once(templates: Templates, expression: Expression, path: Path) -> None:
    for slot, count in slot_counts(expression, templates.counts).items():
        if count > 1:
            message = f"slot `{slot}` may be filled twice in one sentence"
            advice = "Give the second one its own name: {list:other_name}"
            templates.report(path, "slot_twice", message, advice)


def _check_values(templates: Templates) -> None:
    """Check the templates within lists: they may name no list and no rule, and mean one value."""
    grammar = templates.grammar
    for path, definition in lists_of(grammar):
        for place, text in texts_of(grammar, path, definition):
            _check_value(templates, text, place)
        if path not in templates.broken:
            try:
                templates.lists[path] = definition, values(definition, grammar.language)
            except GrammarError as error:
                templates.note(path, grammar.source.fault_of(path, "values", error))


def _check_lists_agree(templates: Templates) -> None:
    """Note slots that several lists fill although a phrase stands for one value here, for another there."""
    held: dict[tuple[str, str], dict[str, Mapping[str, Scalar]]] = {}
    for command, path, expression in templates.sentences:
        for reference in templates.lists_in(expression):
            name, slot = reference.list_name, reference.slot_name
            _, meaning = templates.lists.get(list_path(command, name), (None, None))
            others = held.setdefault((command.name, slot), {})
            if meaning is None or name in others:
                continue
            for other in others.values():
                phrase = disagreement(other, meaning)
                if phrase is not None:
                    first, second = (
                        json.dumps(each[phrase], ensure_ascii=False) for each in (other, meaning)
                    )
                    message = f"`{phrase}` stands for both {first} and {second} in slot `{slot}`"
                    advice = f"Fill another slot here: {{{name}:other_name}}"
                    templates.report(path, "values", message, advice)
                    break
            others[name] = meaning


def _check_value(templates: Templates, text: str, path: Path) -> None:
    expression = _parse(templates, text, path)
    if expression and any(True for _ in references(expression)):
        advice = "Write the words out here"
        message = "the words of a value may name no list and no rule"
        templates.report(path, "template", message, advice)
