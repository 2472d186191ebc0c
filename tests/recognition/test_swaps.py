"""The changes of one sound, against trying every changed sentence on its own."""

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.recognition.swaps import swap_gains
from tests.recognition.toy import TOKENS, speak


def best_path(loss: NDArray[np.float32], sounds: list[int]) -> float:
    """Return the score of the best path of a sentence, anything before and after it, by plain recursion."""
    rest = loss.shape[1] - 1
    states: list[int | None] = [None]
    for sound in sounds:
        states += [sound, rest]
    states.append(None)
    score = [0.0] + [-np.inf] * (len(states) - 1)
    for frame in loss:
        old = score
        score = [0.0] + [-np.inf] * (len(states) - 1)
        for state in range(1, len(states)):
            came = [old[state], old[state - 1]]
            sounds_here = state % 2 == 1 and states[state] is not None
            if state >= 2 and (states[state] is None or (sounds_here and states[state] != states[state - 2])):
                came.append(old[state - 2])
            emission = states[state]
            score[state] = max(came) + (0.0 if emission is None else float(frame[emission]))
    return max(score[-3:])


@pytest.mark.parametrize("said", ["ABCD", "ABBA", "DAD", "A"])
@pytest.mark.parametrize("sentence", ["ABCD", "ABBA", "CAB", "D"])
def test_gains_are_those_of_the_changed_sentences(said: str, sentence: str) -> None:
    log_probs = speak(said, lead=3, tail=4)
    frames = np.column_stack([log_probs, log_probs[:, :2].max(axis=1)])
    loss = frames - frames.max(axis=1, keepdims=True)
    sounds = [TOKENS.index(sound) for sound in sentence]
    others = np.arange(2, len(TOKENS))
    firsts = np.linspace(3, len(frames) - 5, len(sounds)).astype(np.intp)
    gains = swap_gains(frames, np.array(sounds), firsts, others)
    unchanged = best_path(loss, sounds)
    for place, sound in enumerate(sounds):
        for column, other in enumerate(others):
            if other == sound:
                assert gains[place, column] == 0
                continue
            changed = [*sounds[:place], int(other), *sounds[place + 1 :]]
            assert gains[place, column] <= best_path(loss, changed) - unchanged + 1e-3
        shorter = sounds[:place] + sounds[place + 1 :]
        if shorter:
            assert gains[place, -1] == pytest.approx(best_path(loss, shorter) - unchanged, abs=1e-3)


def test_the_sound_that_was_said_instead_gains_most() -> None:
    log_probs = speak("ABCD", lead=3, tail=4)
    frames = np.column_stack([log_probs, log_probs[:, :2].max(axis=1)])
    heard_as = [TOKENS.index(sound) for sound in "ABDD"]
    gains = swap_gains(frames, np.array(heard_as), np.array([3, 6, 9, 12]), np.arange(2, len(TOKENS)))
    place, other = divmod(int(gains.argmax()), gains.shape[1])
    assert (place, TOKENS[other + 2]) == (2, "C")
    assert gains.max() > 5
