"""The golden set: utterances that lie with a bundle or a grammar, and the command that each must give."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.evaluation.commands import Label, read_labels
from agent.grammar import load_grammar
from agent.grammar.schema import BUILTIN, Grammar

FOLDER, LABELS, GRAMMAR = "golden", "labels.json", "grammar.yaml"


@dataclass(frozen=True, slots=True)
class GoldenSet:
    """Recordings and what they say."""

    folder: Path
    grammar: Grammar
    """That the utterances are of."""
    labels: Mapping[str, Label]
    """By file name."""


def find_golden(beside: Path, otherwise: Grammar | None = None) -> GoldenSet | None:
    """Find the golden set in a folder, such as a bundle's; None if there is none that can be judged.

    Args:
        beside: where the folder `golden` lies.
        otherwise: the grammar if none lies with the utterances. It must have all of their commands.

    Raises:
        LabelsError: the labels cannot be read.
        GrammarError: the grammar cannot be used.
    """
    folder = beside / FOLDER
    if not (folder / LABELS).exists():
        return None
    labels = read_labels(folder / LABELS)
    own = folder / GRAMMAR
    grammar = load_grammar(own) if own.exists() else otherwise
    if grammar is None:
        return None
    known = all(
        label.command in grammar.commands or label.command.startswith(BUILTIN) for label in labels.values()
    )
    return GoldenSet(folder, grammar, labels) if known else None
