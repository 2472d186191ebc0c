import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.acoustics.bundle import Bundle
from agent.acoustics.engines.onnx import OnnxEngine
from agent.acoustics.features import window_rows
from agent.acoustics.manifest import Manifest
from agent.acoustics.stream import REVISED_S, AcousticStream, Emission, Frames, log_softmax
from agent.audio.levels import levels_at
from agent.audio.source import SAMPLE_RATE_HZ
from agent.errors import EngineError
from tests.acoustics.small import FRAME, WINDOW

SOUND = np.random.default_rng(5).integers(-30_000, 30_000, 20 * WINDOW, dtype=np.int16)


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> OnnxEngine:
    return OnnxEngine(bundle)


def heard(emissions: list[Emission]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    return (
        np.concatenate([e.committed.log_probs for e in emissions]),
        np.concatenate([e.committed.times_s for e in emissions]),
    )


def offline(manifest: Manifest, engine: OnnxEngine, samples: NDArray[np.int16]) -> Frames:
    """Hear a whole recording at once."""
    stream = AcousticStream(manifest, engine)
    return Frames(*heard(stream.push(samples, 0.0) + stream.finish()))


@settings(deadline=None, max_examples=60)
@given(length=st.integers(1, 6 * WINDOW), blocks=st.lists(st.integers(1, 3000), min_size=1, max_size=40))
def test_blocks_do_not_matter(bundle: Bundle, engine: OnnxEngine, length: int, blocks: list[int]) -> None:
    sound = SOUND[:length]
    stream = AcousticStream(bundle.manifest, engine)
    emissions: list[Emission] = []
    at = 0
    while at < length:
        block = sound[at : at + blocks[at % len(blocks)]]
        emissions += stream.push(block, 100 + at / SAMPLE_RATE_HZ)
        at += len(block)
    emissions += stream.finish()
    log_probs, times_s = heard(emissions)
    whole = offline(bundle.manifest, engine, sound)
    assert np.array_equal(log_probs, whole.log_probs)
    assert np.allclose(times_s, whole.times_s + 100, atol=1e-6)


@settings(deadline=None, max_examples=60)
@given(blocks=st.lists(st.tuples(st.integers(1, 3000), st.integers(0, 8)), min_size=1, max_size=60))
def test_in_a_hurry_each_frame_is_given_out_once(
    bundle: Bundle, engine: OnnxEngine, blocks: list[tuple[int, int]]
) -> None:
    stream = AcousticStream(bundle.manifest, engine)
    emissions: list[Emission] = []
    at = 0
    for length, frames in blocks:
        emissions += stream.push(SOUND[at : at + length], at / SAMPLE_RATE_HZ)
        at += len(SOUND[at : at + length])
        hurried = stream.hurry(frames)
        emissions += [hurried] if hurried else []
    emissions += stream.finish()
    _, times_s = heard(emissions)
    assert np.allclose(np.diff(times_s), FRAME / SAMPLE_RATE_HZ)
    whole = offline(bundle.manifest, engine, SOUND[:at])
    assert times_s[0] == whole.times_s[0]
    assert times_s[-1] > (at - FRAME) / SAMPLE_RATE_HZ


def test_who_hurries_hears_as_far_as_the_sound_goes_and_the_next_hop_begins_there(
    bundle: Bundle, engine: OnnxEngine
) -> None:
    m = bundle.manifest
    frames = -(-m.hop_samples // 3 // FRAME)
    stream = AcousticStream(m, engine)
    stream.push(SOUND[: m.hop_samples], 0.0)
    stream.push(SOUND[m.hop_samples :][: frames * FRAME - 1], m.hop_samples / SAMPLE_RATE_HZ)
    assert stream.hurry(0) is None
    stream.push(SOUND[:1], stream.end_s)
    assert stream.hurry(frames + 1) is None
    hurried = stream.hurry(frames)
    assert hurried
    newest = np.append(hurried.committed.times_s, hurried.provisional.times_s)[-1]
    assert newest > stream.end_s - m.hop_samples / SAMPLE_RATE_HZ
    assert stream.push(SOUND[: m.hop_samples - 1], stream.end_s) == []
    assert len(stream.push(SOUND[:1], stream.end_s)) == 1


def test_levels_are_those_of_the_sound_at_each_frame(bundle: Bundle, engine: OnnxEngine) -> None:
    stream = AcousticStream(bundle.manifest, engine)
    sound = (SOUND * np.linspace(0, 1, len(SOUND))).astype(np.int16)
    emissions = stream.push(sound, 0.0)
    _, times_s = heard(emissions)
    levels = np.concatenate([emission.levels_dbfs for emission in emissions])
    assert levels[0] < levels[-1] - 20
    assert np.allclose(levels, levels_at(sound, np.rint(times_s * SAMPLE_RATE_HZ).astype(int), FRAME))


def test_frames_come_once_in_order_and_are_those_of_one_long_window(
    bundle: Bundle, engine: OnnxEngine
) -> None:
    frames = offline(bundle.manifest, engine, SOUND)
    assert np.allclose(np.diff(frames.times_s), FRAME / SAMPLE_RATE_HZ)
    assert frames.times_s[0] < FRAME / SAMPLE_RATE_HZ
    assert frames.times_s[-1] * SAMPLE_RATE_HZ > len(SOUND) - FRAME
    # The small model looks at 128 samples around a frame and no further: the window it sits in cannot matter.
    for k in (0, 7, 33):
        window = SOUND[k * 256 : k * 256 + WINDOW]
        logits = engine.run(window_rows(bundle.manifest, window))
        first_s = (k * 256 + bundle.manifest.first_frame_samples) / SAMPLE_RATE_HZ
        start = int(np.argmin(abs(frames.times_s - first_s)))
        assert np.allclose(frames.times_s[start], first_s)
        assert np.allclose(frames.log_probs[start : start + 19], log_softmax(logits), atol=1e-5)


def test_revised_frames_are_those_that_were_committed_last_as_the_new_window_hears_them(
    bundle: Bundle, engine: OnnxEngine
) -> None:
    manifest = bundle.manifest
    stream = AcousticStream(manifest, engine)
    committed: list[float] = []
    for index, emission in enumerate(stream.push(SOUND[: 4 * WINDOW], 0.0)):
        most = round(REVISED_S * SAMPLE_RATE_HZ / manifest.frame_samples)
        known = min(most, manifest.usable_frames - len(emission.committed), len(committed))
        assert list(emission.revised.times_s) == committed[len(committed) - known :]
        committed += list(emission.committed.times_s)
        heard = np.concatenate([each.log_probs for each in (emission.revised, emission.committed)])
        end = (index + 1) * manifest.hop_samples
        if end >= WINDOW:
            logits = engine.run(window_rows(manifest, SOUND[end - WINDOW : end]))
            usable = log_softmax(logits[: manifest.usable_frames])
            assert np.allclose(heard, usable[len(usable) - len(heard) :], atol=1e-5)


def test_provisional_frames_follow_the_committed_ones(bundle: Bundle, engine: OnnxEngine) -> None:
    emissions = AcousticStream(bundle.manifest, engine).push(SOUND, 0.0)
    for emission in emissions[5:]:
        times_s = np.concatenate((emission.committed.times_s, emission.provisional.times_s))
        assert len(emission.committed) == 4
        assert len(emission.provisional) > 0
        assert np.allclose(np.diff(times_s), FRAME / SAMPLE_RATE_HZ)
        assert np.allclose(np.exp(emission.provisional.log_probs).sum(axis=1), 1, atol=1e-5)


def test_a_short_gap_reads_as_silence_and_is_reported(bundle: Bundle, engine: OnnxEngine) -> None:
    lost = 800
    stream = AcousticStream(bundle.manifest, engine)
    emissions = stream.push(SOUND[:5000], 0.0)
    emissions += stream.push(SOUND[5000 + lost : 9000], (5000 + lost) / SAMPLE_RATE_HZ)
    emissions += stream.finish()
    filled = SOUND[:9000].copy()
    filled[5000 : 5000 + lost] = 0
    log_probs, times_s = heard(emissions)
    whole = offline(bundle.manifest, engine, filled)
    assert np.array_equal(log_probs, whole.log_probs)
    assert np.allclose(times_s, whole.times_s, atol=1e-3)
    assert [round(e.gap_s * SAMPLE_RATE_HZ) for e in emissions if e.gap_s] == [lost]


def test_times_that_are_corrected_back_break_nothing(bundle: Bundle, engine: OnnxEngine) -> None:
    """The first block came 0.3 s late: the clock finds out, and no word is cut for it."""
    stream, emissions = AcousticStream(bundle.manifest, engine), list[Emission]()
    for start in range(0, len(SOUND), 160):
        late_s = max(0.0, 0.3 - 0.05 * start / SAMPLE_RATE_HZ)
        emissions += stream.push(SOUND[start : start + 160], 10.0 + start / SAMPLE_RATE_HZ + late_s)
    emissions += stream.finish()
    heard = np.concatenate([emission.committed.log_probs for emission in emissions])
    np.testing.assert_allclose(heard, offline(bundle.manifest, engine, SOUND).log_probs, atol=1e-4)
    assert not any(emission.gap_s for emission in emissions)


@pytest.mark.parametrize("jump_s", [5.0, -3.0])
def test_a_long_gap_or_a_jump_back_starts_anew_and_loses_no_frame(
    bundle: Bundle, engine: OnnxEngine, jump_s: float
) -> None:
    stream = AcousticStream(bundle.manifest, engine)
    emissions = stream.push(SOUND[:5000], 10.0)
    emissions += stream.push(SOUND[5000:9000], 10.0 + 5000 / SAMPLE_RATE_HZ + jump_s) + stream.finish()
    log_probs, times_s = heard(emissions)
    parts = [offline(bundle.manifest, engine, part) for part in (SOUND[:5000], SOUND[5000:9000])]
    assert np.array_equal(log_probs, np.concatenate([part.log_probs for part in parts]))
    later_s = parts[1].times_s + 10.0 + 5000 / SAMPLE_RATE_HZ + jump_s
    assert np.allclose(times_s, np.concatenate((parts[0].times_s + 10.0, later_s)))
    assert [e.gap_s for e in emissions if e.gap_s] == [pytest.approx(jump_s)]


def test_frame_times_follow_a_drifting_clock(bundle: Bundle, engine: OnnxEngine) -> None:
    stream, drift = AcousticStream(bundle.manifest, engine), 1.0002  # a bad crystal: 200 ppm
    emissions: list[Emission] = []
    for at in range(0, 60 * SAMPLE_RATE_HZ, 1600):
        emissions += stream.push(SOUND[:1600], at / SAMPLE_RATE_HZ * drift)
    _, times_s = heard(emissions)
    assert not any(e.gap_s for e in emissions)
    assert abs(times_s[-1] - 60 * drift) < 0.1
    assert (np.diff(times_s) > 0).all()


def test_a_failed_hop_is_given_out_by_the_next(bundle: Bundle, engine: OnnxEngine) -> None:
    class Hiccup:
        name, latency = "hiccup", engine.latency
        calls = 0

        def run(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
            self.calls += 1
            if self.calls == 9:
                raise EngineError("hiccup")
            return engine.run(rows)

        def close(self) -> None: ...

    stream = AcousticStream(bundle.manifest, Hiccup())
    emissions: list[Emission] = []
    failures = 0
    for at in range(0, 10_000, 160):
        try:
            emissions += stream.push(SOUND[at : at + 160], at / SAMPLE_RATE_HZ)
        except EngineError:
            failures += 1
    log_probs, times_s = heard(emissions)
    whole = offline(bundle.manifest, engine, SOUND[:10_000])
    assert failures == 1
    assert np.allclose(log_probs, whole.log_probs[: len(log_probs)], atol=1e-5)
    assert np.allclose(np.diff(times_s), FRAME / SAMPLE_RATE_HZ)
