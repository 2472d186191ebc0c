"""Who talked before a command, and how loud."""

import numpy as np
import pytest

from agent.acoustics.stream import Emission, Frames
from agent.recognition.talk import SOFTER_DB, TALK_S, Talk
from tests.recognition.toy import speak

FRAME_S = 0.02
NOTHING = Frames(np.empty((0, 6), np.float32), np.empty(0))


def said(sounds: str, at_s: float, level_dbfs: float = -30.0) -> Emission:
    """Say something at once, a sound every 60 ms."""
    log_probs = speak(sounds, lead=0, tail=0)
    times_s = at_s + FRAME_S * np.arange(len(log_probs), dtype=np.float64)
    return Emission(
        Frames(log_probs, times_s), NOTHING, NOTHING, np.full(len(log_probs), level_dbfs, np.float32)
    )


def talk(*heard: Emission) -> Talk:
    memory = Talk(FRAME_S, blank_penalty=0.0)
    for emission in heard:
        memory.push(emission)
    return memory


COMMAND = said("ABCD", 10.0)
SIX_SOUNDS = pytest.approx(6 * FRAME_S / TALK_S)


@pytest.mark.parametrize(
    ("at_s", "level_dbfs", "share"),
    [
        (9.5, -30.0, SIX_SOUNDS),
        (9.5, -30.0 - 0.9 * SOFTER_DB, SIX_SOUNDS),
        (9.5, -30.0 - 1.1 * SOFTER_DB, 0.0),
        (9.5, -10.0, SIX_SOUNDS),
        (9.99 - TALK_S, -30.0, pytest.approx(5 * FRAME_S / TALK_S)),
        (9.0 - TALK_S, -30.0, 0.0),
    ],
)
def test_talk_counts_that_is_as_loud_and_not_long_ago(at_s: float, level_dbfs: float, share: float) -> None:
    assert talk(said("DADADA", at_s, level_dbfs), COMMAND).before(10.0, 10.2) == share


def test_the_level_of_a_command_is_that_of_its_sounds_not_of_its_pauses() -> None:
    before, command = said("DADADA", 9.5), said("ABCD", 10.0, -90.0)
    sounds = command.committed.log_probs.argmax(axis=1) > 1
    command.levels_dbfs[sounds] = -30.0 + 0.9 * SOFTER_DB
    assert talk(before, command).before(10.0, 10.2) == SIX_SOUNDS
    command.levels_dbfs[sounds] = -30.0 + 1.1 * SOFTER_DB
    assert talk(before, command).before(10.0, 10.2) == 0


def test_what_was_understood_is_not_held_against_what_follows() -> None:
    memory = talk(said("DADADA", 9.5), COMMAND)
    memory.forget(9.9)
    assert memory.before(10.0, 10.2) == 0


def test_nor_are_its_frames_that_are_committed_only_later() -> None:
    memory = talk(said("DADADA", 9.5))
    memory.forget(9.99)
    memory.push(said("DA", 9.9))
    memory.push(COMMAND)
    assert memory.before(10.0, 10.2) == 0


def test_what_is_heard_again_replaces_what_was_known() -> None:
    memory = talk(said("DADADA", 9.5), said("", 9.5), said("DA", 9.5), COMMAND)
    assert memory.before(10.0, 10.2) == pytest.approx(2 * FRAME_S / TALK_S)


def test_another_one_goes_on_with_what_was_heard() -> None:
    memory, other = talk(said("DADADA", 9.5)), talk()
    other.succeed(memory)
    other.forget(9.9)
    for each, share in ((memory, SIX_SOUNDS), (memory.copy(), SIX_SOUNDS), (other, 0.0)):
        each.push(COMMAND)
        assert each.before(10.0, 10.2) == share


def test_where_nothing_is_known_nobody_talked() -> None:
    assert talk().before(10.0, 10.2) == 0
