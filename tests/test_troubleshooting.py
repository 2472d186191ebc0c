"""Everything that a station may say of itself or refuse is in the guide."""

from enum import StrEnum
from pathlib import Path

import pytest

from agent.audio.tones import Tone
from agent.commands.decision import Reason
from agent.health.report import Fault
from agent.recognition.hypothesis import Reject

GUIDE = (Path(__file__).parents[1] / "docs/troubleshooting.md").read_text("utf-8")


@pytest.mark.parametrize("codes", [Reason, Reject, Fault, Tone])
def test_every_code_is_explained(codes: type[StrEnum]) -> None:
    rows = [row for row in GUIDE.splitlines() if row.startswith("| `")]
    assert [code for code in codes if not any(f"`{code}`" in row.split("|")[1] for row in rows)] == []
