"""The script of the demonstration keeps what it promises; its judge tells right from wrong."""

import re
from io import StringIO
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from agent.audio.levels import LevelMeter
from agent.demo import show
from agent.demo.run import BUNDLE, GRAMMAR
from agent.demo.scada import Received
from agent.demo.script import Line, play, read_script
from agent.grammar import load_grammar

GOLDEN = BUNDLE / "golden"
SCRIPT = read_script()


def test_it_shows_what_it_should() -> None:
    outcomes = [line.outcome for line in SCRIPT]
    assert len(SCRIPT) >= 12
    assert all((GOLDEN / line.file).is_file() for line in SCRIPT)
    assert any("SNR" in line.where and line.outcome == "command" for line in SCRIPT), "no factory noise"
    assert any(isinstance(value, int) for line in SCRIPT for value in line.slots.values()), "no number"
    assert outcomes.count("command") >= 8
    assert "question" in outcomes
    refused = {line.said for line in SCRIPT if line.outcome == "reject"}
    assert any("dress" in said or "peach" in said for said in refused), "no near miss"
    assert any("gloves" in said or "lunch" in said for said in refused), "nothing out of grammar"


def test_its_commands_are_those_of_the_grammar() -> None:
    known = load_grammar(GRAMMAR).commands
    assert {line.command for line in SCRIPT if line.outcome != "reject"} <= set(known)


def test_playing_gives_every_line_and_a_pause() -> None:
    begun: list[Line] = []
    blocks = list(play(SCRIPT[:2], GOLDEN, begun.append))
    assert begun == SCRIPT[:2]
    assert all(block.dtype == np.int16 and 0 < len(block) <= 1600 for block in blocks)
    sound = np.concatenate(blocks).astype(float)
    assert len(sound) > 2 * 3 * 16_000
    assert np.abs(sound[-16_000:]).max() < 30 < np.abs(sound).max()


@pytest.mark.parametrize("number", [n for n, line in enumerate(SCRIPT) if "SNR" in line.where])
def test_noise_lies_around_a_line_as_it_does_under_it(number: int) -> None:
    """What the meter shows is about what the script says, whatever was said elsewhere before it.

    It compares the loudest 100 ms with the quietest, and machines clatter.
    """
    (claimed_db,) = map(int, re.findall(r"(\d+) dB SNR", SCRIPT[number].where))
    meter, shown_db = LevelMeter(), []
    for block in play(SCRIPT[number - 1 : number + 1], GOLDEN, lambda _: None):
        meter.update(block)
        shown_db.append(meter.levels().snr_db)
    while_decided = shown_db[-25:]  # from before the recording ends to the end of the pause
    assert claimed_db < min(while_decided) <= max(while_decided) < claimed_db + 25


START = Line(file="a.opus", said="start", outcome="command", command="conveyor_start", slots={"conveyor": 3})
TALK = Line(file="b.opus", said="lovely day", outcome="reject")
AXIS = Line(file="c.opus", said="move", outcome="question")
HEARD: dict[str, Any] = {"text": "start conveyor three", "probability": 0.97, "margin": 12.0}


def message(topic: str, **payload: object) -> Received:
    return Received(topic, payload, 0.0, 1, None)


def command(conveyor: int = 3) -> Received:
    meaning = {"command": "conveyor_start", "slots": {"conveyor": conveyor}}
    return message("command/conveyor/start", meaning=meaning, value={"conveyor": conveyor})


REJECT = message("event/reject", reason="background", detail="", heard=HEARD)
QUESTION = message("event/question", text="move?", heard=HEARD)


@pytest.mark.parametrize(
    ("line", "received", "good"),
    [
        (START, [command()], True),
        (START, [command(2)], False),
        (START, [command(), command()], False),
        (START, [], False),
        (START, [REJECT], False),
        (TALK, [REJECT], True),
        (TALK, [], False),
        (TALK, [REJECT, command()], False),
        (AXIS, [QUESTION], True),
        (AXIS, [QUESTION, command()], False),
    ],
)
def test_judge(line: Line, received: list[Received], good: bool) -> None:
    assert show.judge(line, received) is good


def test_a_row_shows_what_was_said_heard_decided_and_received() -> None:
    accept = message("event/accept", meaning={"command": "conveyor_start"}, heard=HEARD)
    console = Console(width=142, record=True, file=StringIO())
    console.print(show.row(START, [accept, command()], good=True))
    console.print(show.row(TALK, [REJECT], good=True))
    text = console.export_text()
    for part in (
        "“start”",
        "start conveyor three",
        "p 0.97",
        "accept",
        "command/conveyor/start",
        "background",
    ):
        assert part in text
