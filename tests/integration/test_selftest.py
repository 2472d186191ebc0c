"""Liveness by sound, with the shipped model: what it finds, and that nobody who speaks notices it."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agent import hearing as hearing_module
from agent.acoustics.stream import AcousticStream
from agent.audio.file import read_audio
from agent.audio.playback import Playback
from agent.audio.source import FRAME_S, FRAME_SAMPLES, Frame
from agent.evaluation.listening import in_room
from agent.examiner import LOST_AFTER_S, RETRY_S, Examiner
from agent.health.selftest import Script, SelfTest
from agent.health.snapshot import Outcome, Result
from agent.hearing import Ended, Hearing
from agent.recognition.endpoint import Patience
from agent.recognition.hypothesis import Hypothesis
from agent.recognition.listener import Listener
from agent.station import Ears, load_vocabulary
from tests.integration.booth import GOLDEN, GRAMMAR, ROOT, require_bundle, station_settings
from tests.integration.engines import Dead, Stale

require_bundle()

SPEED_65 = "13-set-the-speed-of-conveyor-two-to-sixty-five-percent.opus"
NEVER_S = 1000 * LOST_AFTER_S


@pytest.fixture(scope="module")
def ears(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ears]:
    ears = Ears(station_settings(1, tmp_path_factory.mktemp("ears")), lambda _: None)
    yield ears
    ears.engine.close()


@pytest.fixture
def script(ears: Ears) -> Script:
    assert ears.script
    return ears.script


@pytest.fixture
def listener(ears: Ears) -> Listener:
    """Has heard a second of a quiet room."""
    listener = ears.listener(ears.load_vocabulary())
    for number in range(100):
        listener.hear(room(1)[0], number * FRAME_S)
    return listener


def room(frames: int) -> NDArray[np.int16]:
    """A quiet room, shape [frames, 160]."""
    return np.random.default_rng(0).normal(0, 3, (frames, FRAME_SAMPLES)).astype(np.int16)


def run(test: SelfTest, listener: Listener) -> Result:
    while not (result := test.step(listener)):
        pass
    return result


@pytest.mark.parametrize("grammar", sorted((ROOT / "grammars").glob("*.yaml")), ids=lambda path: path.stem)
def test_it_passes_whatever_the_site_listens_for(
    grammar: Path, ears: Ears, script: Script, tmp_path: Path
) -> None:
    listener = ears.listener(load_vocabulary(grammar, ears.bundle, tmp_path))
    result = run(SelfTest(script), listener)
    assert result == Result(Outcome.PASSED, "00-start-conveyor-three.opus")


def test_it_passes_while_no_command_is_possible(listener: Listener, script: Script) -> None:
    listener.enable([])
    assert run(SelfTest(script), listener).outcome is Outcome.PASSED


def test_whoever_speaks_is_heard_as_if_there_were_no_test(ears: Ears, script: Script) -> None:
    """Even if it ran in the middle of the sentence, which it does not by itself."""
    sound = in_room(read_audio(GOLDEN / SPEED_65), None, None, seed=0)
    frames = sound[: len(sound) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)

    def listen(test: SelfTest | None) -> list[Hypothesis]:
        listener, heard = ears.listener(ears.load_vocabulary()), list[Hypothesis]()
        for number, frame in enumerate(frames):
            heard += listener.hear(frame, number * FRAME_S)
            if test and test.step(listener):
                test = SelfTest(script)
        return heard

    alone = listen(None)
    assert [hypothesis.command for hypothesis in alone] == ["set_speed"]
    assert listen(SelfTest(script)) == alone


def test_an_engine_that_repeats_itself_is_found(listener: Listener, ears: Ears, script: Script) -> None:
    listener.stream = AcousticStream(ears.bundle.manifest, Stale(ears.engine))
    result = run(SelfTest(script), listener)
    assert result.outcome is Outcome.FAILED
    assert all(utterance.file in result.reason for utterance in script.utterances)
    assert "heard as nothing" in result.reason


def test_an_engine_that_fails_is_found(listener: Listener, ears: Ears, script: Script) -> None:
    listener.stream = AcousticStream(ears.bundle.manifest, Dead(ears.engine))
    result = run(SelfTest(script), listener)
    assert (result.outcome, result.reason) == (Outcome.FAILED, "the engine failed: no answer")


def test_a_recognizer_that_never_reports_is_found(listener: Listener, script: Script) -> None:
    listener.recognizer._patience = Patience(*[10_000] * 5)
    result = run(SelfTest(replace(script, utterances=script.utterances[:1])), listener)
    assert result.outcome is Outcome.FAILED
    assert "unnoticed by the recognizer of the grammar in use" in result.reason


def test_one_utterance_that_is_missed_is_no_failure(listener: Listener, script: Script) -> None:
    first, second, *_ = script.utterances
    swapped = replace(first, label=second.label)
    assert run(SelfTest(replace(script, utterances=[swapped, second])), listener) == Result(
        Outcome.PASSED, second.file
    )
    result = run(SelfTest(replace(script, utterances=[swapped])), listener)
    assert result.outcome is Outcome.FAILED
    assert result.reason == f"{first.file} was heard as 'start conveyor three' (conveyor_start)"


class Ahead(Playback):
    """Sound that never lags, however fast it is heard."""

    def frames(self) -> Iterator[Frame]:
        start_s = time.monotonic() + NEVER_S
        for frame in super().frames():
            yield Frame(frame.samples, start_s + frame.time_s)


class Station:
    """A hearing thread's work, done here, as fast as it goes."""

    def __init__(self, ears: Ears, *sounds: NDArray[np.int16]) -> None:
        self.ears = ears
        self.said: list[object] = []
        listener = ears.listener(ears.load_vocabulary())
        self.hearing = Hearing(Ahead(self._play(sounds)), listener, self.said.append)

    def _play(self, sounds: tuple[NDArray[np.int16], ...]) -> Iterator[NDArray[np.int16]]:
        for sound in sounds:
            yield sound
            yield room(600).ravel()

    def run(self) -> list[object]:
        self.hearing._run()
        assert self.said.pop() == Ended()
        return self.said


def test_it_waits_for_a_pause_and_gives_no_command(ears: Ears, script: Script) -> None:
    station = Station(ears, read_audio(GOLDEN / SPEED_65))
    station.hearing.examine(SelfTest(script))
    spoken, tested = station.run()
    assert isinstance(spoken, Hypothesis)
    assert spoken.command == "set_speed"
    assert tested == Result(Outcome.PASSED, script.utterances[0].file)


def test_a_station_that_lags_is_not_held_up(ears: Ears, script: Script) -> None:
    station = Station(ears)
    sound = Playback([room(600).ravel()])  # as old as the clock
    station.hearing = Hearing(sound, ears.listener(ears.load_vocabulary()), station.said.append)
    station.hearing.examine(SelfTest(script))
    assert station.run() == []


def test_what_hears_may_change_meanwhile(ears: Ears, script: Script) -> None:
    station = Station(ears, room(10).ravel())
    station.hearing.examine(SelfTest(script))
    recognizer = ears.recognizer(ears.load_vocabulary())
    station.hearing.change(lambda listener: listener.take(recognizer))
    assert station.run() == [Result(Outcome.NOT_RUN, reason="what hears was changed meanwhile")]


def test_a_station_kept_deaf_by_its_own_tones_fails(
    ears: Ears, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearing_module, "TEST_PATIENCE_S", 0.0)
    station = Station(ears, room(10).ravel())
    station.hearing.mute(2 * NEVER_S)
    station.hearing.examine(SelfTest(script))
    assert station.run() == [Result(Outcome.FAILED, reason="the station's own tones keep it deaf")]


def test_a_test_that_breaks_leaves_the_station_hearing(ears: Ears, script: Script) -> None:
    station = Station(ears, read_audio(GOLDEN / SPEED_65))
    station.hearing.examine(SelfTest(replace(script, utterances=[])))
    said = station.run()
    assert [item.outcome for item in said if isinstance(item, Result)] == [Outcome.FAILED]
    assert [item.command for item in said if isinstance(item, Hypothesis)] == ["set_speed"]


class Clock:
    """An examiner and the time it is told."""

    def __init__(self, ears: Ears) -> None:
        self.hearing = Station(ears).hearing
        self.examiner = Examiner(3600.0, self.hearing, ears)
        self.begun = 0

    def tick(self, now_s: float, *, sound: bool = True) -> Result | None:
        self.hearing.last_frame_s = now_s if sound else -NEVER_S
        result = self.examiner.tick(now_s)
        if result:
            self.examiner.take(result, now_s)
        self.begun += self.hearing._test is not None
        self.hearing._test = None
        return result

    def end(self, outcome: Outcome, now_s: float) -> None:
        self.examiner.take(Result(outcome), now_s)


def test_it_runs_at_the_start_every_hour_and_soon_after_a_failure(ears: Ears) -> None:
    clock = Clock(ears)
    clock.tick(0.0)
    clock.tick(1.0)
    assert clock.begun == 1, "one at a time"
    clock.end(Outcome.PASSED, 5.0)
    clock.tick(3604.0)
    assert clock.begun == 1
    clock.tick(3605.0)
    assert clock.begun == 2
    clock.end(Outcome.FAILED, 3610.0)
    clock.tick(3610.0 + RETRY_S)
    assert clock.begun == 3
    health = clock.examiner.health(3615.0)
    assert (health.outcome, health.age_seconds) == ("failed", 5.0)
    assert health.runs_total == {"passed": 1, "failed": 1}


def test_it_runs_when_asked_and_when_something_else_hears(ears: Ears) -> None:
    clock = Clock(ears)
    clock.tick(0.0)
    clock.end(Outcome.PASSED, 5.0)
    clock.examiner.ask()
    clock.tick(6.0)
    assert clock.begun == 1, "whoever asks without end does not slow the station down"
    clock.tick(10.0)
    assert clock.begun == 2
    clock.end(Outcome.PASSED, 15.0)
    clock.examiner.renew(ears)
    clock.tick(30.0)
    assert clock.begun == 3


def test_without_sound_it_waits_and_whoever_asks_is_told(ears: Ears) -> None:
    clock = Clock(ears)
    assert clock.tick(0.0, sound=False) is None
    clock.examiner.ask()
    assert clock.tick(1.0, sound=False) == Result(Outcome.NOT_RUN, reason="no sound arrives")
    assert clock.tick(20.0, sound=False) is None
    assert clock.begun == 0
    clock.tick(21.0)
    assert clock.begun == 1, "sound is back"


@pytest.mark.parametrize(
    ("sound", "outcome"), [(True, Outcome.FAILED), (False, Outcome.NOT_RUN)], ids=["hangs", "no sound"]
)
def test_a_test_that_never_ends_is_given_up(ears: Ears, sound: bool, outcome: Outcome) -> None:
    clock = Clock(ears)
    clock.tick(0.0)
    result = clock.tick(LOST_AFTER_S + 1, sound=sound)
    assert result
    assert result.outcome is outcome


def test_a_bundle_without_a_golden_grammar_has_no_test(ears: Ears, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ears, "script", None)
    clock = Clock(ears)
    result = clock.tick(0.0)
    assert result
    assert (result.outcome, clock.begun) == (Outcome.NOT_RUN, 0)
    assert clock.tick(3000.0) is None, "it is said once an interval"


def test_the_golden_grammar_is_the_one_that_is_shipped() -> None:
    assert (GOLDEN / "grammar.yaml").read_bytes() == GRAMMAR.read_bytes()
