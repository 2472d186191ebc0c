"""Whatever floods the inbox, nothing that keeps the machine still gets lost in it."""

import contextlib
import queue
import threading
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import agent.inbox
from agent.commands.events import ClaimsLost, Delivered, Fate, Reconnected
from agent.inbox import MAX_PASSING, Inbox
from agent.messaging.contract import Claim, Inhibit, MachineState, Response, State, Status, Talk
from agent.messaging.inbound import Admitted
from agent.messaging.payload import Payload, Quality

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ID = UUID(int=1)


def lockout(active: bool, why: str = "", *, said_s: float = 0.0) -> Admitted:
    time = NOW + timedelta(seconds=said_s)
    return Admitted(Inhibit(time=time, active=active, who="Kim", why=why), "press-2")


def state(name: str, value: bool | int | str, *, said_s: float = 0.0) -> Admitted:
    return Admitted(MachineState(time=NOW + timedelta(seconds=said_s), value=value), "press-2", name)


def talk(pressed: bool) -> Admitted:
    return Admitted(Talk(time=NOW, pressed=pressed), "press-2")


def claim(command: str) -> Admitted:
    return Admitted(Claim(time=NOW, command_id=ID, command=command), "press-3")


def answer() -> Admitted:
    return Admitted(Response(time=NOW, command_id=ID, outcome="done"), "press-2")


def drained(inbox: Inbox) -> list[object]:
    items = []
    while True:
        try:
            items.append(inbox.get(0)[0])
        except queue.Empty:
            return items


def payloads(items: list[object]) -> list[Payload]:
    return [item.payload for item in items if isinstance(item, Admitted)]


def test_order_is_kept() -> None:
    inbox = Inbox()
    first, last = Delivered(ID, Fate.ACKNOWLEDGED), Delivered(ID, Fate.NOT_SENT)
    inbox.put(first)
    for message in (answer(), lockout(True), claim("stop")):
        inbox.offer(message)
    inbox.put(last)
    items = drained(inbox)
    assert (items[0], items[-1]) == (first, last)
    assert [type(payload) for payload in payloads(items)] == [Response, Inhibit, Claim]


def test_what_passes_is_refused_when_too_much_of_it_waits() -> None:
    inbox = Inbox()
    for _ in range(MAX_PASSING):
        inbox.offer(answer())
    with pytest.raises(queue.Full):
        inbox.offer(answer())
    inbox.offer(lockout(True))
    inbox.offer(state("door", "open"))
    inbox.offer(talk(pressed=False))
    inbox.put(Delivered(ID, Fate.UNCONFIRMED))
    items = drained(inbox)
    assert len(items) == MAX_PASSING + 4
    inbox.offer(answer())  # there is room again


def test_lost_claims_are_told_of_once() -> None:
    inbox = Inbox()
    for _ in range(MAX_PASSING):
        inbox.offer(claim("stop"))
    for _ in range(3):
        with pytest.raises(queue.Full):
            inbox.offer(claim("start"))
    assert drained(inbox).count(ClaimsLost()) == 1


def test_a_lockout_that_was_short_is_seen_all_the_same() -> None:
    inbox = Inbox()
    for _ in range(1000):
        inbox.offer(lockout(False))
        inbox.offer(lockout(True, "oil"))
        inbox.offer(lockout(False, "end"))
    seen = payloads(drained(inbox))
    assert [(payload.active, payload.why) for payload in seen if isinstance(payload, Inhibit)] == [
        (True, "oil"),
        (False, "end"),
    ]


def test_a_state_that_changed_unseen_was_unknown_in_between() -> None:
    inbox = Inbox()
    for value in (1, True, 1):
        inbox.offer(state("door", value))
    inbox.offer(state("noise", 5))
    inbox.offer(state("noise", 5))
    seen = [(p.value, p.quality) for p in payloads(drained(inbox)) if isinstance(p, MachineState)]
    assert seen == [(True, Quality.BAD), (5, Quality.GOOD), (1, Quality.GOOD)]


def test_what_was_said_last_is_seen_among_what_was_said_before_and_comes_later() -> None:
    """A bridge that was behind sends all at once; the policy needs the newest lockout to see through it."""
    inbox = Inbox()
    for active, said_s in ((True, 10), (False, 5), (True, 2), (True, 3), (False, 6)):
        inbox.offer(lockout(active, said_s=said_s))
    for value, said_s in (("open", 10), ("closed", 3), ("open", 5), ("open", 4), ("closed", 6)):
        inbox.offer(state("door", value, said_s=said_s))
    assert [(p.time - NOW).total_seconds() for p in payloads(drained(inbox))] == [10, 10, 6, 6]


def test_a_topic_that_is_never_empty_does_not_keep_the_rest_waiting() -> None:
    inbox = Inbox()
    end = Delivered(ID, Fate.ACKNOWLEDGED)
    inbox.offer(lockout(True))
    inbox.put(end)
    seen = []
    for _ in range(3):
        inbox.offer(lockout(True))
        inbox.offer(lockout(False))
        seen.append(inbox.get(0)[0])
    assert end in seen


def test_after_a_new_connection_only_what_it_brought_counts() -> None:
    inbox = Inbox()
    for message in (lockout(False), state("door", "closed"), talk(pressed=False), answer()):
        inbox.offer(message)
    inbox.reconnect(2)
    inbox.offer(state("door", "open"))
    items = drained(inbox)
    assert Reconnected(2) in items
    before, after = items[: items.index(Reconnected(2))], items[items.index(Reconnected(2)) :]
    assert [type(payload) for payload in payloads(before)] == [Talk, Response]
    (door,) = payloads(after)
    assert isinstance(door, MachineState)
    assert door.value == "open"


def test_a_lockout_that_nobody_saw_before_a_new_connection_holds() -> None:
    inbox = Inbox()
    locked, older = lockout(True), lockout(active=False, said_s=-1.0)
    for message in (lockout(True), lockout(False), locked):
        inbox.offer(message)
    inbox.reconnect(2)
    inbox.offer(older)
    assert drained(inbox) == [locked, Reconnected(2), older]


def test_get_waits_for_another_thread() -> None:
    inbox = Inbox()
    threading.Timer(0.05, inbox.put, ["news"]).start()
    assert inbox.get(5)[0] == "news"


class AnyFlood(RuleBasedStateMachine):
    """Messages and a slow reader, in any order; the reader must know what the plant said last."""

    PASSING, PEERS = 4, 6
    """Little room, so that every flood overflows it."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(agent.inbox, "MAX_PASSING", self.PASSING)
        self.patch.setattr(agent.inbox, "MAX_PEERS", self.PEERS)

    def teardown(self) -> None:
        self.patch.undo()

    @initialize()
    def start(self) -> None:
        self.inbox = Inbox()
        self.own: list[object] = []
        self.own_read: list[object] = []
        self.last: dict[str, object] = {}
        self.known: dict[str, object] = {}
        self.locked_unseen = False
        self.changed_unseen: set[str] = set()
        self.offered: dict[str, object] = {}
        self.passing = 0
        self.claims_lost_unseen = False

    @rule(count=st.integers(1, 8))
    def put(self, count: int) -> None:
        for _ in range(count):
            item = object()
            self.own.append(item)
            self.inbox.put(item)

    @rule(active=st.booleans())
    def lock(self, active: bool) -> None:
        self.locked_unseen |= active
        self.last["inhibit"] = active
        self.inbox.offer(lockout(active))

    @rule(name=st.sampled_from(["door", "guard"]), value=st.sampled_from(["open", "closed", 1, True]))
    def report(self, name: str, value: str | int) -> None:
        before = self.last.get(name, self.known.get(name))
        if before is not None and (type(before), before) != (type(value), value):
            self.changed_unseen.add(name)
        self.last[name] = value
        self.inbox.offer(state(name, value))

    @rule(pressed=st.booleans())
    def press(self, pressed: bool) -> None:
        self.last["talk"] = pressed
        self.inbox.offer(talk(pressed))

    @rule(kind=st.sampled_from([answer(), claim("stop")]), count=st.integers(1, 10))
    def pass_by(self, kind: Admitted, count: int) -> None:
        for _ in range(count):
            if self.passing < agent.inbox.MAX_PASSING:
                self.inbox.offer(kind)
                self.passing += 1
            else:
                with pytest.raises(queue.Full):
                    self.inbox.offer(kind)
                self.claims_lost_unseen |= isinstance(kind.payload, Claim)

    @rule(stations=st.integers(1, 8))
    def flood_with_stations(self, stations: int) -> None:
        for number in range(stations):
            with contextlib.suppress(queue.Full):
                self.inbox.offer(Admitted(State(time=NOW, status=Status.ONLINE), f"ghost-{number}"))

    @rule()
    def reconnect(self) -> None:
        for name in ("inhibit", "door", "guard"):
            self.last.pop(name, None)
            self.known.pop(name, None)
        self.locked_unseen = False
        self.changed_unseen.clear()
        self.inbox.reconnect(2)

    @rule(count=st.integers(1, 12))
    def read(self, count: int) -> None:
        for _ in range(count):
            try:
                item, _ = self.inbox.get(0)
            except queue.Empty:
                break
            self.take(item)

    @rule()
    def read_all(self) -> None:
        for item in drained(self.inbox):
            self.take(item)
        assert self.own_read == self.own
        assert self.last.items() <= self.known.items(), "the reader knows what was said last"
        assert not self.locked_unseen, "no lockout is passed over"
        assert not self.changed_unseen, "no change is passed over"
        assert not self.claims_lost_unseen
        assert self.passing == 0

    def take(self, item: object) -> None:
        if isinstance(item, ClaimsLost):
            self.claims_lost_unseen = False
        elif isinstance(item, Reconnected):
            pass
        elif not isinstance(item, Admitted):
            self.own_read.append(item)
        else:
            match item.payload:
                case Inhibit(active=active):
                    self.locked_unseen &= not active
                    self.known["inhibit"] = active
                case MachineState(value=value, quality=quality):
                    before = self.known.get(item.name)
                    unknown = quality is Quality.BAD
                    if unknown or (type(before), before) != (type(value), value):
                        self.changed_unseen.discard(item.name)
                    self.known[item.name] = None if unknown else value
                case Talk(pressed=pressed):
                    self.known["talk"] = pressed
                case Response() | Claim():
                    self.passing -= 1

    @invariant()
    def is_bounded(self) -> None:
        limit = self.PASSING + self.PEERS + len(self.own) - len(self.own_read)
        assert len(self.inbox._waiting) <= limit + 10


AnyFlood.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)


TestAnyFlood = AnyFlood.TestCase
