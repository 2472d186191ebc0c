"""Operators read or hear one line, in the grammar's language."""

import re

import pytest

from agent.commands.decision import Detail, Objection, Reason
from agent.commands.events import Answer, Fate, InhibitReported, Loaded
from agent.commands.fit import require_fit
from agent.commands.wording import Wording
from agent.errors import GrammarError
from agent.grammar.load import parse_grammar
from agent.grammar.schema import Grammar
from agent.recognition.hypothesis import Reject
from agent.settings import Commands
from tests.commands.station import GRAMMAR, Station, decisions, texts, tones

ZH = parse_grammar("{name: zh, language: zh, commands: {lamp: {sentences: [打开灯], topic: lamp}}}")


@pytest.mark.parametrize("grammar", [GRAMMAR, ZH])
def test_every_outcome_has_its_own_line(grammar: Grammar) -> None:
    words = Wording(grammar)
    lines = [words.refusal(Objection(reason)) for reason in (*Reject, *Reason)]
    lines += [words.fate(fate, "") for fate in Fate] + [words.answer(answer, "", "") for answer in Answer]
    assert len(set(lines)) == len(lines)
    assert all(lines)


def test_mandarin_is_mandarin() -> None:
    words = Wording(ZH)
    assert words.question("打开灯") == "打开灯？请说“确认”或“取消”。"
    lines = [words.refusal(Objection(reason)) for reason in Reason]
    lines += [words.refusal(Objection(Reason.INHIBITED, detail)) for detail in Detail]
    assert not re.search("[A-Za-z]", "".join(lines))


def test_what_keeps_a_mandarin_station_locked_is_said_in_mandarin() -> None:
    """The plant reads the same words as always."""
    station = Station(inhibit_required=True, inhibit_max_age_s=60)
    station.tell(Loaded(ZH, "zh@1234", "tiny@1.0.0"))
    unreadable = InhibitReported(active=True, who="", why=Detail.UNREADABLE.value, said_s=100)
    effects = station.say("lamp")
    effects += station.tell(InhibitReported(active=False, said_s=50))
    effects += station.say("lamp", after_s=61)
    effects += station.tell(unreadable) + station.say("lamp")
    effects += station.tell(InhibitReported(active=False, said_s=60)) + station.say("lamp")
    assert not re.search("[A-Za-z]", texts(effects).replace("lamp", ""))
    told = [one.objection.text for one in decisions(effects) if one.objection]
    assert told == [
        "lockout state unknown",
        "lockout state out of date",
        "a message that cannot be read",
        "a message that cannot be read (a release from before it does not count)",
    ]


def test_braces_in_names_do_no_harm() -> None:
    assert Wording(GRAMMAR).question("{0} {x}").startswith("{0} {x}?")


@pytest.mark.parametrize(
    ("reject", "command", "arming", "sounded"),
    [
        (Reject.BACKGROUND, None, "open", False),
        (Reject.BACKGROUND, "lamp", "open", False),
        (Reject.IN_TALK, "lamp", "open", False),
        (Reject.IN_TALK, "lamp", "wake", True),
        (Reject.WEAK_WORD, "lamp", "open", True),
        (Reject.BACKGROUND, None, "wake", True),
    ],
)
def test_talk_among_people_is_not_answered(
    reject: Reject, command: str | None, arming: str, sounded: bool
) -> None:
    station = Station(arming=arming)
    station.say("voxline.wake")
    effects = station.say(command, 0.9, reject=reject)
    assert bool(tones(effects)) == bool(texts(effects)) == sounded


@pytest.mark.parametrize(
    ("arming", "extra", "missing"),
    [("wake", "", "wake"), ("open", "confirm: []", "confirm")],
)
def test_a_grammar_that_cannot_be_spoken_to_is_refused(arming: str, extra: str, missing: str) -> None:
    text = f"name: g\n{extra}\ncommands: {{press: {{sentences: [open the press], topic: p, risk: high}}}}"
    with pytest.raises(GrammarError, match=f"{missing}:"):
        require_fit(Commands.model_validate({"arming": arming}), parse_grammar(text, "g.yaml"))
    require_fit(Commands(), GRAMMAR)
