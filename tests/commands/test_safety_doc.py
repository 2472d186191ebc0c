"""The hazard table names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/safety.md").read_text(encoding="utf-8")
LINES = TEXT.partition("## Hazards")[2].partition("## The audit log")[0].splitlines()
HEAD = re.compile(r"\|(---\|)+|\| What can go wrong .*")
HAZARDS = [row for row in LINES if "|" in row and not HEAD.fullmatch(row)]


@pytest.mark.parametrize("row", HAZARDS)
def test_the_proof_exists(row: str) -> None:
    proof = re.fullmatch(r"\|.+\|.+\| `(tests/[\w/]+\.py)::(\w+)` \|", row)
    assert proof, "hazard | what stops it | `file::test`"
    names = set()
    for node in ast.parse((ROOT / proof[1]).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        if isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    assert proof[2] in names


def test_there_are_hazards() -> None:
    assert len(HAZARDS) > 40
