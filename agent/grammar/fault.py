"""What is wrong with a grammar, where, and what to do about it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum

from agent.errors import GrammarError


class Severity(StrEnum):
    """How bad a fault is."""

    ERROR = "error"
    """The grammar is refused."""
    WARNING = "warning"
    """The grammar runs, worse than it could."""


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One fault at one place."""

    file: str
    line: int
    """Counted from 1, like `column`."""
    column: int
    severity: Severity
    code: str
    """Stable name of the kind of fault, such as `undefined_list`."""
    message: str
    advice: str
    """What to do about it."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}"
        return f"{place}: {self.severity} [{self.code}] {self.message}. {self.advice}"


class FaultyGrammarError(GrammarError):
    """A grammar is refused; `faults` says why, one entry per place."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(faults)


def refuse_errors(faults: Iterable[Fault]) -> None:
    """Raise FaultyGrammarError if any of `faults` is an error."""
    errors = sorted({fault for fault in faults if fault.severity is Severity.ERROR})
    if errors:
        raise FaultyGrammarError(errors)


def nearest(name: str, names: Sequence[str], otherwise: str = "") -> str:
    """Advice that names the valid name most like `name`; where none is, `otherwise` or all that are valid."""
    close = get_close_matches(name, names, n=1)
    if close:
        return f"Did you mean `{close[0]}`?"
    if otherwise:
        return otherwise
    return f"Valid: {listed(sorted(names), 40)}" if names else "None is defined"


def listed(names: Sequence[str], most: int) -> str:
    """Write names in a row, and how many more there are."""
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    return ", ".join([*(f"`{name}`" for name in names[:most]), *more])
