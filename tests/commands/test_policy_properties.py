"""No sequence of events makes the policy unsafe.

The rules throw events at a policy; `_check` judges each published order by a second, plain account of what
was said, locked and reported, kept here and not asked from the policy.
"""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from agent.commands.arming import LEAD_S, LONGEST_PRESS_S
from agent.commands.effects import AnswerSettled, Ask, Claim, DeliverySettled, Effect, Enable, Publish
from agent.commands.events import (
    Answer,
    Answered,
    Button,
    Claimed,
    ClaimsLost,
    Delivered,
    Event,
    Fate,
    Heard,
    InhibitReported,
    Loaded,
    PeersChanged,
    Reconnected,
    StateReported,
    Tick,
)
from agent.commands.order import Order
from agent.grammar.schema import CANCEL, CONFIRM, WAKE, Risk
from agent.recognition.hypothesis import Hypothesis, Reject
from tests.commands.station import GRAMMAR, Station, all_of, decisions, utterance

WINDOW_S = 5.0
INHIBIT_MAX_AGE_S = 20.0
BURST = 4
BURST_WINDOW_S = 6.0
PLAUSIBLE, SURE = 0.5, 0.8

commands = st.sampled_from([*GRAMMAR.commands, *GRAMMAR.commands, CONFIRM, CANCEL, WAKE, None])
probabilities = st.sampled_from([0.3, 0.6, 0.95])
rejects = st.sampled_from([None, None, None, *Reject])
pauses_s = st.floats(0.01, 3.0)
ages_s = st.sampled_from([0.0, 0.0, 1.0, 15.0, 1000.0])
behind_s = st.sampled_from([0.0, 0.0, 0.0, 2.0, 30.0])
"""How far the clock of who speaks is behind, or how long the message was under way."""


@dataclass
class Account:
    """What happened, kept simply."""

    windows: list[list[float]] = field(default_factory=list)
    inhibit: InhibitReported | None = None
    inhibit_s: float = 0.0
    lockouts_said_s: list[float] = field(default_factory=list)
    states: dict[str, tuple[object, float]] = field(default_factory=dict)
    states_said_s: dict[str, float] = field(default_factory=dict)
    asked: Ask | None = None
    asked_s: float = 0.0
    commands_heard_s: list[float] = field(default_factory=list)
    published_s: dict[str, float] = field(default_factory=dict)
    published: list[Order] = field(default_factory=list)
    claims: dict[UUID, Order] = field(default_factory=dict)
    foreign: list[tuple[str, float, float]] = field(default_factory=list)
    """Command, when its sentence ended, when the claim came."""
    missed_s: float = float("-inf")


class AnyStation(RuleBasedStateMachine):
    @initialize(arming=st.sampled_from(["open", "wake", "push_to_talk"]), required=st.booleans())
    def start(self, arming: str, required: bool) -> None:
        self.arming = arming
        self.required = required
        self.peers = False
        self.account = Account()
        self.station = Station(
            arming=arming,
            inhibit_required=required,
            armed_window_s=WINDOW_S,
            inhibit_max_age_s=INHIBIT_MAX_AGE_S,
            reject_below=PLAUSIBLE,
            confirm_below=SURE,
            burst_commands=BURST,
            burst_window_s=BURST_WINDOW_S,
        )

    def tell(self, event_: Event, after_s: float = 0.0) -> list[Effect]:
        account = self.account
        effects = self.station.tell(event_, after_s=after_s)
        now_s = self.station.now_s
        published = all_of(Publish, effects)
        assert len(published) <= 1
        for effect in published:
            event(f"published {effect.order.command} {self.arming}")
            self._check(event_, effect.order, now_s)
            account.published.append(effect.order)
            account.published_s[effect.order.command] = now_s
        claims = all_of(Claim, effects)
        if isinstance(event_, Heard):
            assert decisions(effects) or claims, "no utterance passes in silence"
        account.claims |= {claim.order.id: claim.order for claim in claims}
        answered = isinstance(event_, Heard) and not (
            event_.hypothesis.command == CONFIRM and not published  # unclear: the question still stands
        )
        moved = isinstance(event_, Loaded)
        if answered or moved or published:
            account.asked = None
        for ask in all_of(Ask, effects):
            account.asked, account.asked_s = ask, now_s
        for enable in all_of(Enable, effects):
            self._check_enabled(enable.commands, now_s)
        return effects

    def _check(self, cause: Event, order: Order, now_s: float) -> None:
        """Judge a published order."""
        account = self.account
        command = GRAMMAR.commands[order.command]
        assert now_s < order.expires_s <= order.spoken_s + command.time_to_live_s
        assert order.id not in {other.id for other in account.published}
        assert not any(order.heard is other.heard for other in account.published)
        assert now_s - account.published_s.get(order.command, float("-inf")) >= command.refractory_s
        assert sum(now_s - heard_s < BURST_WINDOW_S for heard_s in account.commands_heard_s) <= BURST
        assert order.heard.reject is None
        assert order.heard.probability >= PLAUSIBLE
        assert self._armed(order.heard.start_s)
        self._check_inhibit(command.risk, now_s)
        assert self._holds(order.command, now_s)
        assert isinstance(cause, Heard | Claimed), "silence and messages make no command"
        if isinstance(cause, Claimed):
            assert cause.order_id == order.id
            assert command.risk is not Risk.HIGH
        if self.peers:
            asked = account.asked is not None and account.asked.order.id == order.id
            settled_s = account.asked_s if asked else now_s  # who asks has won: the rest are slow
            assert not any(
                name == order.command and abs(heard_s - order.heard.end_s) <= 2.0 and came_s <= settled_s
                for name, heard_s, came_s in account.foreign
            ), "another station had it first"
        asked_before = account.asked is not None and account.asked_s <= account.missed_s
        assert order.heard.end_s >= account.missed_s or asked_before, "a claim for it may have been missed"
        if command.risk is Risk.HIGH or (command.risk is Risk.NORMAL and order.heard.probability < SURE):
            self._check_confirmed(cause, order, now_s)

    def _check_confirmed(self, cause: Event, order: Order, now_s: float) -> None:
        asked = self.account.asked
        assert asked is not None
        assert asked.order.id == order.id
        assert now_s < asked.until_s
        assert isinstance(cause, Heard)
        answer = cause.hypothesis
        assert order.confirmed_by is answer
        assert answer.reject is None
        assert answer.start_s >= self.account.asked_s
        if answer.command == CONFIRM:
            assert answer.probability >= SURE
        else:
            assert not self.peers, "others take it for a new sentence"
            assert GRAMMAR.commands[order.command].risk is Risk.NORMAL
            assert (answer.command, answer.slots) == (order.command, order.slots)

    def _check_inhibit(self, risk: Risk, now_s: float) -> None:
        report = self.account.inhibit
        assert report is None or not report.active
        if self.required and risk is not Risk.LOW:
            assert report is not None
            assert now_s - self.account.inhibit_s <= INHIBIT_MAX_AGE_S

    def _check_enabled(self, enabled: frozenset[str], now_s: float) -> None:
        possible = {name for name in GRAMMAR.commands if self._holds(name, now_s)}
        assert possible == enabled & set(GRAMMAR.commands)

    def _holds(self, command: str, now_s: float) -> bool:
        for condition in GRAMMAR.commands[command].requires:
            value, at_s = self.account.states.get(condition.state, (None, float("-inf")))
            if now_s - at_s > condition.max_age_s or not condition.holds(value):
                return False
        return True

    def _armed(self, start_s: float) -> bool:
        return self.arming == "open" or any(start <= start_s < end for start, end in self.account.windows)

    @rule(pause_s=st.floats(0.01, 15))
    def let_time_pass(self, pause_s: float) -> None:
        self.tell(Tick(), pause_s)

    @rule(
        command=commands,
        probability=probabilities,
        reject=rejects,
        pause_s=pauses_s,
        latency_s=st.sampled_from([0.1, 0.4, 1.4, 2.5]),
        seconds=st.sampled_from([0.5, 0.5, 3.0]),
        speed=st.sampled_from([5, 50]),
    )
    def hear(
        self,
        command: str | None,
        probability: float,
        reject: Reject | None,
        pause_s: float,
        latency_s: float,
        seconds: float,
        speed: int,
    ) -> None:
        slots: dict[str, Any] = {"speed": speed} if command == "belt" else {}
        self.say(command, probability, reject, pause_s, latency_s, seconds, **slots)

    def say(
        self,
        command: str | None,
        probability: float,
        reject: Reject | None,
        pause_s: float,
        latency_s: float,
        seconds: float,
        **slots: Any,
    ) -> None:
        arrives_s = self.station.now_s + pause_s
        end_s = arrives_s - latency_s
        heard = utterance(command, end_s, probability=probability, seconds=seconds, reject=reject, **slots)
        if reject is None and command in GRAMMAR.commands and self._armed(heard.start_s):
            question = self.account.asked
            if not (question and self._repeats(heard, question)):
                self.account.commands_heard_s.append(arrives_s)  # to the last bit
        if command == WAKE and reject is None and probability >= PLAUSIBLE and self.arming == "wake":
            self.account.windows.append([end_s, end_s + WINDOW_S])
        self.tell(Heard(heard), pause_s)

    @staticmethod
    def _repeats(heard: Hypothesis, question: Ask) -> bool:
        return (heard.command, heard.slots) == (question.order.command, question.order.slots)

    @rule(
        command=st.sampled_from([*GRAMMAR.commands]),
        pause_s=st.floats(0.9, 2),
        probability=st.sampled_from([0.95, 0.95, 0.95, 0.7, 0.4]),
        reject=st.sampled_from([None, None, None, None, Reject.WEAK_WORD]),
        latency_s=st.sampled_from([0.2, 0.2, 0.2, 0.2, 2.1]),
        answer=st.sampled_from(["confirm", "confirm", "late", "unsure", "again", "nothing"]),
        behind_s=behind_s,
    )
    def speak_to_a_free_station(
        self,
        command: str,
        pause_s: float,
        probability: float,
        reject: Reject | None,
        latency_s: float,
        answer: str,
        behind_s: float,
    ) -> None:
        """Make what is nearly published frequent."""
        if self.arming == "wake":
            self.say(WAKE, 0.95, None, 1.0, 0.2, 0.5)
        if self.arming == "push_to_talk":
            self.press()
        self.lock(active=False, age_s=0.0, behind_s=behind_s)
        self.report("door", "closed", 0.0, 0.0)
        self.report("pressure", 6, 0.0, 0.0)
        self.say(command, probability, reject, pause_s, latency_s, 0.5)
        if self.peers and self.account.claims:
            self.hear_own_claim(0, 0.02)
        if not self.account.asked:
            return
        if answer in ("confirm", "late", "unsure"):
            sure, late_s = (0.6 if answer == "unsure" else 0.95), (2.2 if answer == "late" else 0.2)
            self.say(CONFIRM, sure, None, 3.0, late_s, 0.5)
        if answer == "again":
            self.say(command, probability, None, 1.0, 0.2, 0.5)

    @precondition(lambda self: self.account.asked is not None)
    @rule(pause_s=st.floats(0.7, 9))
    def confirm(self, pause_s: float) -> None:
        self.say(CONFIRM, 0.95, None, pause_s, 0.1, 0.5)

    @rule()
    def press(self) -> None:
        if self.arming == "push_to_talk":
            self.account.windows.append([self.station.now_s - LEAD_S, self.station.now_s + LONGEST_PRESS_S])
        self.tell(Button(pressed=True))

    @rule(pause_s=pauses_s)
    def release(self, pause_s: float) -> None:
        self._come_up(self.station.now_s + pause_s)
        self.tell(Button(pressed=False), pause_s)

    def _come_up(self, now_s: float) -> None:
        if self.arming == "push_to_talk":
            for window in self.account.windows:  # all: a press may have been told twice
                window[1] = min(window[1], now_s)

    @rule(active=st.booleans(), age_s=ages_s, behind_s=behind_s)
    def lock(self, active: bool, age_s: float, behind_s: float) -> None:
        account, said_s = self.account, self.station.now_s - behind_s
        report = InhibitReported(active, "Kim", "oil", age_s, said_s)
        if active:
            account.lockouts_said_s.append(said_s)
        elif all(lockout_s <= said_s for lockout_s in account.lockouts_said_s):
            account.lockouts_said_s.clear()
        if active or not account.lockouts_said_s:
            account.inhibit, account.inhibit_s = report, self.station.now_s - age_s
        self.tell(report)

    @rule(
        state=st.sampled_from(["door", "pressure"]),
        value=st.sampled_from(["closed", "locked", "open", 3, 6, True, None]),
        age_s=ages_s,
        behind_s=behind_s,
    )
    def report(self, state: str, value: object, age_s: float, behind_s: float) -> None:
        account, said_s = self.account, self.station.now_s - behind_s
        known, at_s = account.states.get(state, (None, 0.0))
        if said_s >= account.states_said_s.get(state, float("-inf")):
            account.states[state] = (value, self.station.now_s - age_s)
            account.states_said_s[state] = said_s
        elif value != known:
            account.states[state] = (None, at_s)
        self.tell(StateReported(state, value, age_s, said_s))

    @rule(peers=st.booleans())
    def meet(self, peers: bool) -> None:
        self.peers = peers
        self.tell(PeersChanged(frozenset({"press-3"} if peers else ())))

    @rule(
        command=st.sampled_from([*GRAMMAR.commands]),
        pause_s=st.floats(0.01, 0.5),
        age_s=st.sampled_from([0.0, 0.4, 3.0]),
    )
    def hear_foreign_claim(self, command: str, pause_s: float, age_s: float) -> None:
        came_s = self.station.now_s + pause_s
        self.account.foreign.append((command, came_s - age_s, came_s))
        self.tell(Claimed("press-3", UUID(int=10**9), command, age_s), pause_s)

    @precondition(lambda self: self.account.claims)
    @rule(pick=st.integers(0, 3), pause_s=st.floats(0.01, 0.5))
    def hear_own_claim(self, pick: int, pause_s: float) -> None:
        order = list(self.account.claims.values())[-1 - pick % len(self.account.claims)]
        self.tell(Claimed("press-2", order.id, order.command), pause_s)

    @precondition(lambda self: self.account.published)
    @rule(fate=st.sampled_from(Fate), answer=st.sampled_from(Answer), first=st.booleans())
    def learn_outcome(self, fate: Fate, answer: Answer, first: bool) -> None:
        order = self.account.published[-1]
        effects = self.tell(Delivered(order.id, fate) if first else Answered(order.id, answer), 0.05)
        undone = fate in (Fate.NOT_SENT, Fate.REFUSED) if first else answer is Answer.REFUSED
        if undone and all_of(DeliverySettled if first else AnswerSettled, effects):
            self.account.published_s.pop(order.command, None)

    @rule()
    def lose_claims(self) -> None:
        self.account.missed_s = self.station.now_s
        self.tell(ClaimsLost())

    @rule()
    def reconnect(self) -> None:
        if self.account.inhibit and not self.account.inhibit.active:
            self.account.inhibit = None
        self.account.states.clear()
        self.account.states_said_s.clear()
        if self.peers:
            self.account.missed_s = self.station.now_s
        self._come_up(self.station.now_s)  # a release may have been missed
        self.tell(Reconnected(2))

    @rule()
    def reload(self) -> None:
        self.tell(Loaded(GRAMMAR, "cell@5678", "tiny@1.0.0"))


AnyStation.TestCase.settings = settings(max_examples=600, stateful_step_count=50, deadline=None)
TestAnyStation = AnyStation.TestCase
