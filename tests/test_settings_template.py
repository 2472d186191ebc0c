"""The template that writes a fleet's settings."""

import json
import tomllib
from pathlib import Path

from jinja2 import Environment

TEMPLATE = Path(__file__).parents[1] / "ansible/roles/voxline/templates/config.toml.j2"


def test_what_a_station_is_to_have_is_written_and_what_it_is_not_to_have_is_left_out() -> None:
    """One station of many may have no lamp: TOML has no null."""
    environment = Environment(trim_blocks=True)  # as Ansible has it  # noqa: S701 - no page of the web
    environment.filters["to_json"] = json.dumps
    wanted = {
        "station": {"id": "press-1", "enterprise": 'Größe "A"\n'},
        "mqtt": {"port": 8883, "username": None, "flat_values": True},
        "panel": {"lamp": None, "button": {"type": "key", "device": "*"}},
    }
    written = tomllib.loads(environment.from_string(TEMPLATE.read_text()).render(voxline_written=wanted))
    assert written == {
        "station": wanted["station"],
        "mqtt": {"port": 8883, "flat_values": True},
        "panel": {"button": {"type": "key", "device": "*"}},
    }
