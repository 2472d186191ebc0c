from datetime import UTC, datetime

from agent.messaging.compose import health
from agent.messaging.contract import Accept, Reject, State, Status
from agent.messaging.facts import FACTS, facts
from tests.health.test_report import WELL
from tests.messaging.examples import command

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
ORDER = command()


def test_each_fact_is_announced_with_its_type_and_none_is_missing() -> None:
    payloads = [
        State(time=NOW, status=Status.ONLINE),
        Accept(time=NOW, command_id=ORDER.id, meaning=ORDER.meaning, heard=ORDER.heard),
        health(WELL, (), NOW),
    ]
    known = {name: fact for payload in payloads for name, fact in facts(payload).items()}
    assert set(known) == set(FACTS)
    assert all(fact is None or type(fact) is FACTS[name] for name, fact in known.items()), known


def test_most_payloads_hold_none() -> None:
    assert facts(Reject(time=NOW, reason="background", heard=ORDER.heard)) == {}
