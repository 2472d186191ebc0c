"""The manual shows the state machine as it is."""

from pathlib import Path

from agent.updates.machine import picture

MANUAL = Path(__file__).parents[2] / "docs" / "updates.md"


def test_the_picture_is_drawn_from_the_code() -> None:
    assert f"```mermaid\n{picture()}```" in MANUAL.read_text(), (
        "paste the output of: python -c 'from agent.updates.machine import picture; print(picture())'"
    )
