"""The policy: what happens with what was heard. Pure: events and the time in, effects out.

Every order begins with an utterance; time and messages alone make none. It is published by `Policy._publish`,
which only `_act` and `_confirm` call, both after `_objection` found nothing at that very moment.
"""

from collections.abc import Callable
from itertools import islice
from uuid import UUID

from agent.audio.tones import Tone
from agent.commands.arbitration import LEASE_S, Arbiter
from agent.commands.arming import Arming
from agent.commands.decision import MOST_NAMED, Decision, Hindrances, Objection, Reason, Verdict
from agent.commands.dialogue import Question, Reply
from agent.commands.effects import (
    Announce,
    AnswerSettled,
    Armed,
    Ask,
    Claim,
    Decided,
    DeliverySettled,
    Effect,
    Enable,
    Publish,
)
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
from agent.commands.feedback import addressed, refusal
from agent.commands.followup import Followup
from agent.commands.inhibit import Inhibit
from agent.commands.machine import Machine
from agent.commands.order import Order, Origin
from agent.commands.repetition import Repetition
from agent.commands.wording import Wording
from agent.grammar.schema import CANCEL, CONFIRM, WAKE, Risk
from agent.recognition.hypothesis import Hypothesis
from agent.settings import Commands


class Policy:
    """One station's judgement. Not thread-safe: one queue feeds it.

    Args:
        settings: how careful to be.
        station: the station's id, unique among those that may hear the same voices.
        loaded: grammar and model that hear; see `require_fit`.
        new_id: makes UUIDv7s.

    """

    def __init__(self, settings: Commands, station: str, loaded: Loaded, new_id: Callable[[], UUID]) -> None:
        self._settings = settings
        self._station = station
        self._new_id = new_id
        self._arming = Arming(settings.arming, settings.armed_window_s)
        self._inhibit = Inhibit(required=settings.inhibit_required, max_age_s=settings.inhibit_max_age_s)
        self._machine = Machine()
        self._repetition = Repetition(settings.burst_commands, settings.burst_window_s)
        self._arbiter = Arbiter(station)
        self._followup = Followup(settings.answer_within_s)
        self._question: Question | None = None
        self._armed_until_s: float | None = None
        self._enabled: frozenset[str] | None = None
        self._load(loaded)

    def step(self, event: Event, now_s: float) -> list[Effect]:
        """Take an event and say what to do.

        Args:
            event: what happened.
            now_s: monotonic time at which it arrived here; it never goes back.
        """
        return [*self._elapse(now_s), *self._handle(event, now_s), *self._review(now_s)]

    def hindrances(self, now_s: float) -> Hindrances:
        """Tell what would keep commands from the machine if they were said now (monotonic)."""
        objection = self._inhibit.objection(Risk.NORMAL, now_s)
        impossible = self._machine.impossible(self._commands.values(), now_s)
        return Hindrances(
            inhibited=objection is not None,
            reason=objection.text if objection else "",
            unavailable_count=len(impossible),
            unavailable=dict(islice(impossible.items(), MOST_NAMED)),
        )

    def _elapse(self, now_s: float) -> list[Effect]:
        """Conclude what ended by time alone, whatever waits to be taken."""
        effects: list[Effect] = []
        for order in self._arbiter.expire(now_s):
            effects += self._refuse(order.heard, Objection(Reason.UNSETTLED), order)
        if self._question and now_s >= self._question.until_s:
            effects += self._withdraw(Objection(Reason.NOT_CONFIRMED))
        return effects

    def _handle(self, event: Event, now_s: float) -> list[Effect]:
        match event:
            case Tick():
                return self._settled(self._followup.tick(now_s, self._words))
            case Heard(heard):
                return self._hear(heard, now_s)
            case Button(pressed, age_s):
                (self._arming.press if pressed else self._arming.release)(now_s - age_s)
                return []
            case InhibitReported():
                self._inhibit.report(event, now_s)
                return []
            case StateReported():
                self._machine.report(event, now_s)
                return []
            case Delivered():
                return self._settled(self._followup.delivered(event, now_s, self._words))
            case Answered():
                return self._settled(self._followup.answered(event, now_s, self._words))
            case PeersChanged(stations):
                self._arbiter.meet(stations)
                return []
            case Claimed():
                return self._claimed(event, now_s)
            case ClaimsLost():
                return self._unsettle(self._arbiter.miss(now_s))
            case Reconnected():
                self._inhibit.reconnect()
                self._machine.reconnect()
                self._arming.release(now_s)  # nobody tells again that a button came up meanwhile
                return self._unsettle(self._arbiter.reconnect(now_s))
            case Loaded():
                return self._replaced(event)

    def _review(self, now_s: float) -> list[Effect]:
        """Compare what stood before with what holds now."""
        effects: list[Effect] = []
        if news := self._inhibit.news(now_s):
            effects += [news, Announce(self._words.inhibit(news))]
        if self._question:
            command = self._commands[self._question.order.command]
            objection = self._hindrance(self._question.order, now_s)
            if objection is None and self._machine.picture(command) != self._question.picture:
                objection = Objection(Reason.CHANGED)
            if objection:
                effects += self._withdraw(objection)
        until_s = self._arming.until_s(now_s)
        if until_s != self._armed_until_s:
            self._armed_until_s = until_s
            effects.append(Armed(until_s))
        enabled = self._speakable(now_s)
        if enabled != self._enabled:
            self._enabled = enabled
            effects.append(Enable(enabled))
        return effects

    def _speakable(self, now_s: float) -> frozenset[str]:
        builtin = {CONFIRM, CANCEL} if self._question else set()
        if self._settings.arming == "wake":
            builtin.add(WAKE)
        return (
            frozenset(self._commands) - self._machine.impossible(self._commands.values(), now_s).keys()
            | builtin
        )

    def _hear(self, heard: Hypothesis, now_s: float) -> list[Effect]:
        effects: list[Effect] = []
        if self._question:
            reply = self._question.reply(
                heard,
                sure=self._settings.confirm_below,
                plausible=self._settings.reject_below,
                alone=self._arbiter.alone,
            )
            if reply is Reply.YES:
                return self._confirm(self._question, heard, now_s)
            if reply is Reply.NO:
                return self._withdraw(Objection(Reason.CANCELLED), heard)
            if reply is Reply.UNCLEAR:
                objection = Objection(heard.reject or Reason.UNSURE)
                text = self._words.question(self._question.order.text)
                return [
                    self._decide(Verdict.REJECT, heard, objection=objection),
                    Announce(text, Tone.CONFIRM),
                ]
            effects += self._withdraw(Objection(Reason.INTERRUPTED))
        return effects + self._judge(heard, now_s)

    def _judge(self, heard: Hypothesis, now_s: float) -> list[Effect]:
        """Decide on an utterance that answers no question."""
        if heard.reject:
            return self._refuse(heard, Objection(heard.reject))
        if heard.command in (CONFIRM, CANCEL):
            return self._refuse(heard, Objection(Reason.NOTHING_ASKED))
        sure_enough = heard.probability >= self._settings.reject_below
        if heard.command == WAKE:
            return self._wake(heard) if sure_enough else self._refuse(heard, Objection(Reason.UNSURE))
        if not self._arming.covers(heard.start_s):
            return self._refuse(heard, Objection(Reason.UNARMED))
        command = self._commands.get(heard.command or "")
        if command is None:
            return self._refuse(heard, Objection(Reason.UNKNOWN))
        self._repetition.hear(now_s)
        if self._repetition.overlaps(heard):
            return self._refuse(heard, Objection(Reason.REPEATED))
        if not sure_enough:
            return self._refuse(heard, Objection(Reason.UNSURE))
        order = Order.make(self._new_id(), command, heard, self._origin)
        objection = self._objection(order, now_s)
        if holder := self._arbiter.holder(order):
            objection = Objection(Reason.OTHER_STATION, holder)
        elif self._arbiter.unsettled(order):
            objection = Objection(Reason.UNSETTLED)
        if objection:
            return self._refuse(heard, objection, order)
        self._repetition.use(heard)
        return [Claim(order), *(self._act(order, now_s) if self._arbiter.enter(order, now_s) else [])]

    def _wake(self, heard: Hypothesis) -> list[Effect]:
        self._arming.wake(heard.end_s)
        return [self._decide(Verdict.WAKE, heard), Announce(self._words.armed(), Tone.ARMED)]

    def _act(self, order: Order, now_s: float) -> list[Effect]:
        """Publish or ask: it is ours to act."""
        if objection := self._objection(order, now_s):  # time has passed since it was heard
            return self._refuse(order.heard, objection, order)
        doubt = order.heard.probability < self._settings.confirm_below
        if order.risk is Risk.LOW or (order.risk is Risk.NORMAL and not doubt):
            return self._publish(order, order.heard, now_s)
        effects = self._withdraw(Objection(Reason.INTERRUPTED))
        until_s = now_s + self._settings.confirm_window_s
        picture = self._machine.picture(self._commands[order.command])
        self._question = Question(order, now_s, until_s, picture)
        text = self._words.question(order.text)
        objection = Objection(Reason.UNSURE) if doubt else None
        return [
            *effects,
            self._decide(Verdict.CONFIRM, order.heard, order, objection),
            Ask(order, text, until_s),
            Announce(text, Tone.CONFIRM),
        ]

    def _confirm(self, question: Question, answer: Hypothesis, now_s: float) -> list[Effect]:
        order = question.order.confirmed(answer)
        if objection := self._objection(order, now_s):
            return self._withdraw(objection, answer)
        self._question = None
        self._repetition.use(answer)
        return self._publish(order, answer, now_s)

    def _publish(self, order: Order, heard: Hypothesis, now_s: float) -> list[Effect]:
        self._repetition.accept(order, now_s)
        self._followup.begin(order)
        return [  # the command first: what follows writes to disks
            Publish(order),
            self._decide(Verdict.ACCEPT, heard, order),
            Announce(self._words.sending(order.text), Tone.HEARD),
        ]

    def _objection(self, order: Order, now_s: float) -> Objection | None:
        """Tell what speaks against publishing `order` now."""
        if order.remaining_s(now_s) <= 0:
            return Objection(Reason.EXPIRED)
        command = self._commands[order.command]
        return self._hindrance(order, now_s) or self._repetition.objection(order, command, now_s)

    def _hindrance(self, order: Order, now_s: float) -> Objection | None:
        """Tell what keeps the machine from being moved at all."""
        command = self._commands[order.command]
        return self._inhibit.objection(order.risk, now_s) or self._machine.objection(command, now_s)

    def _refuse(self, heard: Hypothesis, objection: Objection, order: Order | None = None) -> list[Effect]:
        effects: list[Effect] = [self._decide(Verdict.REJECT, heard, order, objection)]
        armed = self._arming.covers(heard.start_s)
        if addressed(heard, armed=armed, deliberate=self._settings.arming != "open"):
            effects.append(refusal(objection, heard.text, self._words))
        return effects

    def _withdraw(self, objection: Objection, heard: Hypothesis | None = None) -> list[Effect]:
        """Take back the question that stands, if one does, because of `objection` or of what was heard."""
        if self._question is None:
            return []
        order, self._question = self._question.order, None
        return [
            self._decide(Verdict.REJECT, heard or order.heard, order, objection),
            refusal(objection, order.text, self._words),
        ]

    def _decide(
        self,
        verdict: Verdict,
        heard: Hypothesis,
        order: Order | None = None,
        objection: Objection | None = None,
    ) -> Decided:
        return Decided(Decision(verdict, heard, self._origin, order, objection))

    def _claimed(self, claim: Claimed, now_s: float) -> list[Effect]:
        effects: list[Effect] = []
        for ruling in self._arbiter.hear(claim, now_s):
            if ruling.winner is None:
                effects += self._act(ruling.order, now_s)
            else:
                objection = Objection(Reason.OTHER_STATION, ruling.winner)
                effects += self._refuse(ruling.order.heard, objection, ruling.order)
        if claim.station != self._station and self._question:
            asked = self._question.order
            late = claim.command == asked.command and now_s - claim.age_s - asked.heard.end_s <= LEASE_S
            if not late:  # not a slow detector of the same sentence, so somebody speaks there
                effects += self._withdraw(Objection(Reason.INTERRUPTED, claim.station))
        return effects

    def _settled(self, effects: list[Effect]) -> list[Effect]:
        """Take note of what was not done, or perhaps not."""
        for effect in effects:
            match effect:
                case DeliverySettled(order, Fate.NOT_SENT | Fate.REFUSED) | AnswerSettled(
                    order, Answer.REFUSED
                ):
                    self._repetition.fail(order)
                case DeliverySettled(order, Fate.UNCONFIRMED) | AnswerSettled(order, Answer.NO_ANSWER):
                    self._repetition.doubt(order)
        return effects

    def _unsettle(self, orders: list[Order]) -> list[Effect]:
        effects: list[Effect] = []
        for order in orders:
            effects += self._refuse(order.heard, Objection(Reason.UNSETTLED), order)
        return effects

    def _replaced(self, loaded: Loaded) -> list[Effect]:
        effects = self._withdraw(Objection(Reason.CHANGED))
        for order in self._arbiter.clear():
            effects += self._refuse(order.heard, Objection(Reason.CHANGED), order)
        self._load(loaded)
        return effects

    def _load(self, loaded: Loaded) -> None:
        self._commands = dict(loaded.grammar.commands)
        self._machine.watch({need.state for command in self._commands.values() for need in command.requires})
        self._words = Wording(loaded.grammar)
        self._origin = Origin(self._station, loaded.grammar_version, loaded.bundle_version)
        self._enabled = None  # a new recognizer knows nothing of what was enabled
