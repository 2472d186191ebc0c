"""Sentence templates in hassil syntax: parsing, and what they refer to."""

from collections import Counter
from collections.abc import Iterator, Mapping

from hassil.errors import HassilError
from hassil.expression import Alternative, Expression, Group, ListReference, RuleReference
from hassil.parse_expression import parse_sentence
from hassil.parser import DELIM, ESCAPE_CHAR, ParseError

MAX_NESTING = 16


class TemplateError(ValueError):
    """No valid template; `offset` is the place of the fault in its text."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.offset = offset


def parse(text: str) -> Expression:
    """Parse a template.

    Raises:
        TemplateError: unbalanced, too deep, or otherwise no template.
    """
    _check_brackets(text)
    try:
        return parse_sentence(text).expression
    except (ParseError, HassilError, AssertionError, ValueError):
        raise TemplateError("no valid template") from None


def references(expression: Expression) -> Iterator[ListReference | RuleReference]:
    """Every `{list}` and `<rule>` in `expression`, not those in the rules it names."""
    if isinstance(expression, ListReference | RuleReference):
        yield expression
    elif isinstance(expression, Group):
        for item in expression.items:
            yield from references(item)


SlotCounts = Counter[str]
"""How often one sentence may fill each slot. 2 stands for more, too: it is as bad, and stays small in rules
that name rules that name rules."""


def slot_counts(expression: Expression, rules: Mapping[str, SlotCounts]) -> SlotCounts:
    """Count how often a sentence of `expression` may fill each slot.

    Args:
        expression: template.
        rules: the counts of all rules that `expression` names.
    """
    if isinstance(expression, ListReference):
        return Counter([expression.slot_name])
    if isinstance(expression, RuleReference):
        return rules.get(expression.rule_name, Counter())
    counts: SlotCounts = Counter()
    if isinstance(expression, Group):
        for item in expression.items:
            more = slot_counts(item, rules)
            counts = counts | more if isinstance(expression, Alternative) else counts + more
    return Counter({slot: min(2, count) for slot, count in counts.items()})


def _check_brackets(text: str) -> None:
    closing: list[tuple[str, int]] = []
    escaped = False
    for offset, character in enumerate(text):
        if escaped or character == ESCAPE_CHAR:
            escaped = not escaped
        elif closing and closing[-1][0] in "}>" and character in "{<([":
            raise TemplateError(f"`{character}` within a name", offset)
        elif character in DELIM:
            closing.append((DELIM[character], offset))
            if len(closing) > MAX_NESTING:
                raise TemplateError(f"brackets nested deeper than {MAX_NESTING}", offset)
        elif character in DELIM.values():
            if not closing or closing.pop()[0] != character:
                raise TemplateError(f"`{character}` closes nothing", offset)
            if text[offset - 1] in DELIM and text[offset - 1] in "{<[(":
                raise TemplateError(f"empty `{text[offset - 1]}{character}`", offset - 1)
    if escaped:
        raise TemplateError("`\\` escapes nothing", len(text) - 1)
    if closing:
        raise TemplateError("a bracket is never closed", closing[-1][1])
