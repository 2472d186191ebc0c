"""Sentence templates in hassil syntax: parsing, and what they refer to."""

from collections.abc import Iterator

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


def slot_counts(expression: Expression, rules: dict[str, "SlotCounts"]) -> "SlotCounts":
    """How often each slot may be filled by one sentence: slot to (fewest, most).

    Args:
        expression: template.
        rules: the counts of all rules that `expression` names.
    """
    if isinstance(expression, ListReference):
        return {expression.slot_name: (1, 1)}
    if isinstance(expression, RuleReference):
        return rules.get(expression.rule_name, {})
    if not isinstance(expression, Group):
        return {}
    parts = [slot_counts(item, rules) for item in expression.items]
    result: SlotCounts = {}
    for slot in {slot for part in parts for slot in part}:
        counts = [part.get(slot, (0, 0)) for part in parts]
        if isinstance(expression, Alternative):
            result[slot] = min(low for low, _ in counts), max(high for _, high in counts)
        else:  # 2 is as bad as more, and stays small in rules that name rules that name rules
            result[slot] = min(2, sum(low for low, _ in counts)), min(2, sum(high for _, high in counts))
    return result


SlotCounts = dict[str, tuple[int, int]]


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
