"""Tones through the real path: played by the player, heard by the microphone, told apart by it."""

import time
from collections.abc import Iterator

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

from agent.audio.player import TonePlayer
from agent.audio.portaudio import portaudio
from agent.audio.tones import Tone, render
from tests.integration.listening import best_match, listening, wait_for
from tests.integration.pulse import Pulse, require_pulseaudio, running_pulse

require_pulseaudio()


@pytest.fixture(scope="module")
def pulse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pulse]:
    with running_pulse(tmp_path_factory.mktemp("pulse")) as daemon:
        yield daemon


@pytest.fixture
def player() -> Iterator[TonePlayer]:
    made = TonePlayer()
    yield made
    made.close()


def expected(tone: Tone) -> NDArray[np.int16]:
    return np.asarray(soxr.resample(render(tone, 48_000), 48_000, 16_000), np.int16)


def found(heard: NDArray[np.int16], tone: Tone) -> float:
    wanted = expected(tone)
    return best_match(heard, wanted)[0] * float(np.linalg.norm(wanted.astype(float)))


@pytest.mark.usefixtures("pulse")
@pytest.mark.parametrize("tone", Tone)
def test_every_tone_is_heard_as_itself_and_the_microphone_misses_nothing(
    player: TonePlayer, tone: Tone
) -> None:
    with listening() as listener:
        wait_for(lambda: len(listener.frames) > 20, 10)
        player.play(tone)
        wait_for(lambda: player.played == 1, 5)
        finished_s = time.monotonic()
        wait_for(lambda: listener.frames[-1].time_s > finished_s, 5)
        heard = np.pad(listener.samples(), (0, 16_000))  # room for tones longer than the one that was played
        assert best_match(heard, expected(tone))[0] > 0.95
        assert max(Tone, key=lambda each: found(heard, each)) is tone
        assert player.failure is None
        assert listener.microphone.state.losses == 0
        assert listener.microphone.overruns == 0


def test_a_missing_loudspeaker_is_said_and_holds_nobody_up() -> None:
    player = TonePlayer("no such loudspeaker")
    start_s = time.monotonic()
    for _ in range(100):
        player.play(Tone.HEARD)
    assert time.monotonic() - start_s < 0.1
    wait_for(lambda: player.failure, 5)
    assert "no output device is named like 'no such loudspeaker'" in str(player.failure)
    assert player.dropped > 80
    player.close()


def test_a_loudspeaker_that_comes_back_plays_again(pulse: Pulse, player: TonePlayer) -> None:
    pulse.unplug()
    player.play(Tone.FAILED)
    wait_for(lambda: player.failure, 10)
    pulse.plug()
    player.play(Tone.DONE)
    wait_for(lambda: player.played == 1, 10)
    assert player.failure is None


@pytest.mark.usefixtures("pulse")
def test_a_tone_cut_short_by_a_rescan_is_reported(player: TonePlayer) -> None:
    player.play(Tone.FAILED)
    time.sleep(0.2)
    portaudio().rescan()
    wait_for(lambda: player.failure or player.played, 5)
    assert "lost during the tone" in str(player.failure)
    player.play(Tone.HEARD)
    wait_for(lambda: player.played == 1, 5)
