"""What waits in memory comes out in order; what there is no room for is what matters least."""

from agent.messaging.channel import Keep
from agent.messaging.namespace import Message
from agent.messaging.unsent import Unsent


def message(topic: str, number: int, *, retain: bool) -> Message:
    return Message(topic, str(number).encode(), 1, retain, Keep.NEVER, None, ())


def taken(unsent: Unsent) -> list[tuple[str, int]]:
    messages = iter(unsent.take, None)
    return [(this.topic, int(this.payload)) for this in messages if this]


def test_first_in_is_first_out() -> None:
    unsent = Unsent(10)
    assert unsent.add(message("state", 0, retain=True), message("claim", 1, retain=False)) == 0
    assert unsent.add(message("state", 2, retain=True)) == 0
    assert len(unsent) == 3
    assert taken(unsent) == [("state", 0), ("claim", 1), ("state", 2)]
    assert taken(unsent) == []


def test_the_newest_of_what_a_broker_keeps_has_room_in_any_flood() -> None:
    unsent = Unsent(4)
    unsent.add(message("update", 0, retain=True), message("claim", 1, retain=False))
    dropped = sum(unsent.add(message("state", number, retain=True)) for number in range(2, 300))
    assert dropped == 296
    assert taken(unsent) == [("update", 0), ("state", 297), ("state", 298), ("state", 299)]


def test_where_nothing_is_outdated_the_oldest_goes() -> None:
    unsent = Unsent(2)
    assert unsent.add(*(message(f"value/{number}", number, retain=True) for number in range(3))) == 1
    assert taken(unsent) == [("value/1", 1), ("value/2", 2)]


def test_all_go_at_once() -> None:
    unsent = Unsent(2)
    unsent.add(message("claim", 1, retain=False))
    assert [this.topic for this in unsent.clear()] == ["claim"]
    assert len(unsent) == 0
