"""Hours of sound that hold no command."""

from itertools import repeat
from random import Random

import numpy as np
import pytest

pytest.importorskip("misaki", reason="synthetic speech is planned with misaki, of the extra `train`")
pytest.importorskip("scipy", reason="rooms are convolved with scipy, of the extra `train`")

from models.recipe import negatives


def test_all_kinds_come_in_their_shares_and_mixed() -> None:
    plan = negatives._plan(21.0, 0)
    assert len(plan) == len(set(plan)) == 126
    assert {kind for kind, _ in plan[:8]} >= {"flite", "espeak", "spliced"}
    assert sum(kind == "flite" for kind, _ in plan) == 48
    assert not set(plan) & set(negatives._plan(2.0, 100))


def test_parts_follow_each_other_with_pauses_and_are_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(negatives, "PIECE_S", 10.0)
    part = np.full(8000, 1000, np.int16)
    sound, said = negatives._joined(repeat((part, "no command")), Random(1))
    assert len(sound) == 160_000
    assert len(said) > 4
    for one in said:
        assert (sound[round(one.start_s * 16_000) : round(one.end_s * 16_000)] == 1000).all()
    assert np.count_nonzero(sound) == 8000 * len(said)


@pytest.mark.parametrize("kind", ["flite", "machines"])
def test_a_scene_is_loud_enough_to_hear_and_never_silent(kind: str) -> None:
    speech = (np.sin(np.arange(32_000) / 9) * 8000).astype(np.int16)
    rooms = np.zeros((1, 800), np.float16)
    rooms[0, 0] = 1
    for number in range(4):
        scene = negatives._scene(speech, kind, number, Random(number), rooms)
        assert scene.shape == speech.shape
        assert 100 < np.abs(scene.astype(np.int32)).max() <= 32768
        assert np.count_nonzero(scene) > 0.5 * len(scene)
