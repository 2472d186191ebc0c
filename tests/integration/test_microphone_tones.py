"""Tones through the real path: played by the player, heard by the microphone, told apart by it."""

import time
from collections.abc import Iterator

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

from agent.audio.player import Line, TonePlayer
from agent.audio.portaudio import portaudio
from agent.audio.source import FRAME_S
from agent.audio.speech import speak
from agent.audio.tones import Tone, render
from agent.errors import AudioError
from tests.integration.brokers import eventually
from tests.integration.listening import best_match, listening
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
        assert eventually(lambda: len(listener.frames) > 20)
        player.play(tone)
        assert eventually(lambda: player.played == 1)
        listener.catch_up()
        heard = np.pad(listener.samples(), (0, 16_000))  # room for tones longer than the one that was played
        assert best_match(heard, expected(tone))[0] > 0.95
        assert max(Tone, key=lambda each: found(heard, each)) is tone
        assert player.failure is None
        assert listener.microphone.state.losses == 0
        assert listener.microphone.overruns == 0


QUESTION = 'Start the press? Say "confirm" or "cancel".'


@pytest.mark.usefixtures("pulse")
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_line_is_read_aloud_after_its_tone_and_the_station_told_for_how_long(language: str) -> None:
    deaf: list[tuple[float, float]] = []
    player = TonePlayer(before=lambda seconds: deaf.append((time.monotonic(), seconds)))
    spoken = np.asarray(speak(QUESTION, language, 16_000))
    with listening() as listener:
        assert eventually(lambda: len(listener.frames) > 20)
        player.play(Tone.CONFIRM, Line(QUESTION, language))
        assert eventually(lambda: player.played == 1)
        listener.catch_up()
        heard = listener.samples()
        loud = [frame.time_s for frame in listener.frames if np.abs(frame.samples.astype(int)).max() > 1000]
    player.close()
    # piece by piece: a busy machine may drop a moment in between
    pieces = spoken[: len(spoken) // 8000 * 8000].reshape(-1, 8000)
    parts = [best_match(heard, piece) for piece in pieces if np.abs(piece.astype(int)).max() > 1000]
    assert sum(score > 0.9 for score, _ in parts) > len(parts) / 2
    tone_score, tone_at = best_match(heard, expected(Tone.CONFIRM))
    assert tone_score > 0.5
    assert all(at > tone_at for score, at in parts if score > 0.9)
    ((began_s, seconds),) = deaf
    assert began_s < loud[0] + FRAME_S  # a frame has the time of its first sample
    assert loud[-1] < began_s + seconds, "the station would take its own voice for an operator"


@pytest.mark.usefixtures("pulse")
def test_without_the_program_the_tone_sounds_all_the_same(
    player: TonePlayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(AudioError, match="apt-get install espeak-ng"):
        speak(QUESTION, "en", 16_000)
    with listening() as listener:
        assert eventually(lambda: len(listener.frames) > 20)
        player.play(Tone.CONFIRM, Line(QUESTION, "en"))
        assert eventually(lambda: player.failure)
        assert "espeak-ng is not installed" in str(player.failure)
        listener.catch_up()
        assert best_match(listener.samples(), expected(Tone.CONFIRM))[0] > 0.95


def test_a_missing_loudspeaker_is_said_and_holds_nobody_up() -> None:
    player = TonePlayer("no such loudspeaker")
    start_s = time.monotonic()
    for _ in range(100):
        player.play(Tone.HEARD)
    assert time.monotonic() - start_s < 0.1
    assert eventually(lambda: player.failure)
    assert "no output device is named like 'no such loudspeaker'" in str(player.failure)
    assert player.dropped > 80
    player.close()


def test_a_loudspeaker_that_comes_back_plays_again(pulse: Pulse, player: TonePlayer) -> None:
    pulse.unplug()
    player.play(Tone.FAILED)
    assert eventually(lambda: player.failure)
    pulse.plug()
    player.play(Tone.DONE)
    assert eventually(lambda: player.played == 1)
    assert player.failure is None


@pytest.mark.usefixtures("pulse")
def test_a_tone_cut_short_by_a_rescan_is_reported(player: TonePlayer) -> None:
    player.play(Tone.FAILED)
    assert eventually(lambda: portaudio()._streams)
    portaudio().rescan()
    assert eventually(lambda: player.failure or player.played)
    assert "lost during the tone" in str(player.failure)
    player.play(Tone.HEARD)
    assert eventually(lambda: player.played == 1)
