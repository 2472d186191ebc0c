import json
import re
from datetime import UTC, datetime, time, timedelta, timezone
from pathlib import Path

import pytest
from pydantic import ValidationError

from agent.grammar import load_grammar
from agent.grammar.payload import render
from agent.messaging.contract import KINDS, Command, Hours, State, Status
from agent.messaging.namespace import Namespace
from tests.messaging.examples import NAMESPACE, STATION, command, offline

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def test_topics_follow_the_plant() -> None:
    assert Namespace.of(STATION).base == "acme/lyon/assembly/l3/c7/voice/press-2"
    assert NAMESPACE.topic(Command, "line/speed") == f"{NAMESPACE.base}/command/line/speed"
    assert NAMESPACE.topic(State) == f"{NAMESPACE.base}/state"


def test_every_kind_of_payload_has_a_channel_of_its_own() -> None:
    assert len({kind.channel.address for kind in KINDS}) == len(KINDS)


def test_commands_are_never_retained_and_states_always_are() -> None:
    kept = {kind.__name__ for kind in KINDS if kind.channel.retain}
    assert kept == {"State", "Health", "Inhibit", "MachineState", "Desired", "Update", "Value"}


def test_times_travel_as_utc_and_without_zone_not_at_all() -> None:
    paris = NOW.astimezone(timezone(timedelta(hours=1)))
    message = NAMESPACE.message(State(time=paris, status=Status.ONLINE))
    assert json.loads(message.payload)["time"] == "2026-11-23T08:00:00Z"
    assert dict(message.user_properties)["time"] == "2026-11-23T08:00:00Z"
    with pytest.raises(ValidationError):
        State(time=NOW.replace(tzinfo=None), status=Status.ONLINE)


def test_hours_are_of_the_local_clock_and_carry_no_zone() -> None:
    assert Hours.model_validate_json('{"start": "22:00", "end": "05:00:30"}').start == time(22)
    for hour in ("22:00:00Z", "22:00:00+01:00"):
        with pytest.raises(ValidationError, match="without Z or an offset"):
            Hours.model_validate_json(f'{{"start": "{hour}", "end": "05:00"}}')


def test_only_commands_ask_for_an_answer() -> None:
    order = command()
    message = NAMESPACE.message(order, "line/speed")
    assert message.correlation_data == order.id.bytes
    assert message.response_topic == f"{NAMESPACE.base}/response"
    assert offline().response_topic is None


def test_every_command_has_an_id_of_its_own() -> None:
    assert len({command().id for _ in range(1000)}) == 1000


def test_the_manual_shows_a_command_as_it_is_sent() -> None:
    (shown,) = re.findall(r"```json\n(.*?)```", (ROOT / "docs/mqtt/README.md").read_text(), re.DOTALL)
    order = Command.model_validate_json(shown)
    assert json.loads(order.model_dump_json()) == json.loads(shown)
    spoken = load_grammar(ROOT / "grammars/demo.yaml").commands[order.meaning.command]
    assert order.value == render(spoken.payload, order.meaning.slots)
    assert json.dumps(order.value) in (ROOT / "README.md").read_text()
