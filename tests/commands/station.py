"""A station to talk to: a real policy, a small grammar, a clock that the test turns."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

from agent.commands.decision import Decision, Verdict
from agent.commands.effects import Announce, Ask, Decided, Effect, Publish
from agent.commands.events import Event, Heard, InhibitReported, Loaded, Tick
from agent.commands.order import Order
from agent.commands.policy import Policy
from agent.grammar.load import parse_grammar
from agent.grammar.schema import CANCEL, CONFIRM, WAKE
from agent.recognition.hypothesis import HeardWord, Hypothesis, Reject
from agent.settings import Commands

GRAMMAR = parse_grammar(
    """
name: cell
wake: [hey machine]
lists:
  speed: {minimum: 0, maximum: 100, step: 5}
commands:
  lamp:
    sentences: [lamp on]
    risk: low
    topic: lamp
    payload: {on: true}
  belt:
    sentences: ["belt speed {speed}"]
    topic: belt
    payload: {speed: "{speed}"}
    refractory_s: 3
  press:
    sentences: [open the press]
    risk: high
    topic: press/open
    time_to_live_s: 1.5
  drain:
    sentences: [drain the tank]
    topic: drain
    time_to_live_s: 20
  feed:
    sentences: [start the feed]
    topic: feed
    requires:
      - {state: door, equals: closed}
      - {state: pressure, minimum: 4, maximum: 8, max_age_s: 3}
  eject:
    sentences: [eject the part]
    risk: high
    topic: eject
    requires:
      - {state: door, one_of: [closed, locked]}
      - {state: pressure, minimum: 4}
""",
    "cell.yaml",
)
LOADED = Loaded(GRAMMAR, "cell@1234", "tiny@1.0.0")
TEXTS = {CONFIRM: "confirm", CANCEL: "cancel", WAKE: "hey machine"}
LATENCY_S = 0.3
"""From the end of speech to the hypothesis."""

Wanted = TypeVar("Wanted")


def numbered() -> Iterator[UUID]:
    yield from (UUID(int=number) for number in range(1, 1_000_000))


def utterance(
    command: str | None,
    end_s: float,
    *,
    probability: float = 0.95,
    seconds: float = 0.8,
    reject: Reject | None = None,
    **slots: Any,
) -> Hypothesis:
    text = TEXTS.get(command or "", command or "")
    words = (HeardWord(text, end_s - seconds, end_s, -0.1, ("AH",), ("AH",)),) if text else ()
    return Hypothesis(
        end_s - seconds, end_s, 20.0, command, slots, words, probability=probability, reject=reject
    )


class Station:
    """Steps a policy and keeps all that it wanted done."""

    def __init__(self, name: str = "press-2", **settings: Any) -> None:
        ids = numbered()
        self.now_s = 1000.0
        careful = Commands(**{"inhibit_required": False, **settings})
        self.policy = Policy(careful, name, LOADED, lambda: next(ids))
        self.done: list[Effect] = []
        self.tell(Tick())

    def tell(self, event: Event, *, after_s: float = 0.0) -> list[Effect]:
        self.now_s += after_s
        effects = self.policy.step(event, self.now_s)
        self.done += effects
        return effects

    def wait(self, seconds: float) -> list[Effect]:
        """Let time pass in ticks, as the agent does."""
        effects = []
        for _ in range(round(seconds * 10)):
            effects += self.tell(Tick(), after_s=0.1)
        return effects

    def say(
        self,
        command: str | None,
        probability: float = 0.95,
        *,
        after_s: float = 1.5,
        reject: Reject | None = None,
        latency_s: float = LATENCY_S,
        **slots: Any,
    ) -> list[Effect]:
        """Let an utterance be recognized `after_s` from now."""
        self.now_s += after_s
        heard = utterance(command, self.now_s - latency_s, probability=probability, reject=reject, **slots)
        return self.tell(Heard(heard))

    def lock_out(self) -> list[Effect]:
        return self.tell(InhibitReported(active=True, who="Kim", why="oil change"))

    def published(self) -> list[Order]:
        return [effect.order for effect in all_of(Publish, self.done)]

    def questions(self) -> list[Order]:
        return [effect.order for effect in all_of(Ask, self.done)]


def all_of(kind: type[Wanted], effects: list[Effect]) -> list[Wanted]:
    return [effect for effect in effects if isinstance(effect, kind)]


def decisions(effects: list[Effect]) -> list[Decision]:
    return [effect.decision for effect in all_of(Decided, effects)]


def outcome(effects: list[Effect]) -> str:
    """The last decision in one word: its reason, or accept, confirm, wake; "nothing" without one."""
    found = decisions(effects)
    if not found:
        return "nothing"
    objection = found[-1].objection
    refused = found[-1].verdict is Verdict.REJECT
    return objection.reason.value if refused and objection else found[-1].verdict.value


def tones(effects: list[Effect]) -> list[str]:
    return [effect.tone.value for effect in all_of(Announce, effects) if effect.tone]


def texts(effects: list[Effect]) -> str:
    return "\n".join(effect.text for effect in all_of(Announce, effects))


def again(heard: Hypothesis, start_s: float) -> Hypothesis:
    """The same utterance at another time."""
    return replace(heard, start_s=start_s, end_s=start_s + heard.end_s - heard.start_s)
