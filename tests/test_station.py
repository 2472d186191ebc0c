from pathlib import Path

import pytest

from agent.acoustics.bundle import load_bundle
from agent.errors import GrammarError
from agent.station import load_vocabulary
from tests.integration.booth import BUNDLE, require_bundle

require_bundle()
WHEEL = """name: wheel
commands:
  turn:
    sentences: [right the wheel now]
    topic: turn
  log:
    sentences: [write the wheel now]
    topic: log
    requires: [{state: log/open, equals: true}]
"""


def test_no_station_listens_for_two_commands_by_the_same_sounds(tmp_path: Path) -> None:
    """Where one of them is not possible now, the other would be heard for it."""
    grammar = tmp_path / "wheel.yaml"
    bundle = load_bundle(BUNDLE)
    grammar.write_text(WHEEL)
    with pytest.raises(GrammarError, match=r"wheel.yaml:4:.*same sounds mean `log`.*and `turn`"):
        load_vocabulary(grammar, bundle, tmp_path)
    grammar.write_text(WHEEL.replace("write the wheel", "log the wheel"))
    load_vocabulary(grammar, bundle, tmp_path)
