"""The search against an exhaustive one, in double precision, sentence by sentence."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.grammar.graph import Word
from agent.recognition.background import Background
from agent.recognition.decoder import Decoder, SearchLimits
from agent.recognition.network import build_network
from tests.recognition.toy import TOKENS, chain_graph

SENTENCES = [
    ("go", [(Word("ab"), "AB"), (Word("a", opens="s", closes="s"), "A")]),
    ("go", [(Word("ab"), "AB"), (Word("cd", opens="s", closes="s"), "CD")]),
    ("go", [(Word("ab"), "AB"), (Word("c", opens="s"), "C"), (Word("b", closes="s"), "B")]),
    ("stop", [(Word("ba"), "BA")]),
    ("stop", [(Word("dd"), "DD")]),
]
UNLIMITED = SearchLimits(beam=1e6, margin=1e6, max_tokens=10**6, max_frames=64)


def log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float32]:
    normalized: NDArray[np.float32] = (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype(
        np.float32
    )
    return normalized


def exhaustive(
    frames: NDArray[np.float32], sounds: str, blank_penalty: float, loop_penalty: float, entry_penalty: float
) -> float:
    """Best score of one sentence that ends at the last frame, relative to the free loop, by textbook CTC."""
    frames = frames.astype(np.float64)
    frames[:, 0] -= blank_penalty
    loop = Background(len(TOKENS), loop_penalty)
    rest = frames[:, :2].max(axis=1)
    labels = [TOKENS.index(sound) for sound in sounds]
    score = np.full(2 * len(labels), -np.inf)  # sound and rest after it, in turn
    for frame, resting in zip(frames, rest, strict=True):
        enter = float(loop.silence) - entry_penalty
        gained = float(loop.step(frame.astype(np.float32), np.float32(resting)))
        new = np.full_like(score, -np.inf)
        for i, label in enumerate(labels):
            before = [score[2 * i], enter if i == 0 else score[2 * i - 1]]
            if i and labels[i - 1] != label:
                before.append(score[2 * i - 2])
            new[2 * i] = max(before) + frame[label] - gained
            new[2 * i + 1] = max(score[2 * i], score[2 * i + 1]) + resting - gained
        score = new
    return float(score[-2:].max())


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    length=st.integers(1, 14),
    blank_penalty=st.sampled_from([0.0, 3.0]),
    loop_penalty=st.sampled_from([0.0, 2.0, 6.0]),
    entry_penalty=st.sampled_from([0.0, 1.0]),
)
def test_finds_what_an_exhaustive_search_finds(
    seed: int, length: int, blank_penalty: float, loop_penalty: float, entry_penalty: float
) -> None:
    frames = log_softmax(np.random.default_rng(seed).normal(0, 3, (length, len(TOKENS))))
    penalties = (blank_penalty, loop_penalty, entry_penalty)
    graph = chain_graph(SENTENCES)
    decoder = Decoder(
        build_network(graph),
        blank_penalty=blank_penalty,
        loop_penalty=loop_penalty,
        entry_penalty=entry_penalty,
        limits=UNLIMITED,
    )
    for frame in frames:
        decoder.step(frame)

    expected: dict[tuple[str, str], float] = {}
    for name, words in SENTENCES:
        slots = " ".join(word.text for word, _ in words if word.opens or word.closes)
        best = exhaustive(frames, "".join(sounds for _, sounds in words), *penalties)
        expected[name, slots] = max(best, expected.get((name, slots), -np.inf))

    found = {}
    for finish in decoder.finishes():
        meaning = graph.interpret(decoder.nodes(finish.token))
        found[meaning.command, " ".join(map(str, meaning.slots.values()))] = finish.score
    # Two tokens a state: the best and the best that means something else, which is what is promised.
    best_two = sorted((score for score in expected.values() if np.isfinite(score)), reverse=True)[:2]
    assert sorted(found.values(), reverse=True)[:2] == pytest.approx(best_two, abs=1e-3)
    for key, score in found.items():
        assert score == pytest.approx(expected[key], abs=1e-3)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_path_is_as_long_as_the_sentence_and_scores_what_it_claims(seed: int) -> None:
    frames = log_softmax(np.random.default_rng(seed).normal(0, 3, (20, len(TOKENS))))
    decoder = Decoder(
        build_network(chain_graph(SENTENCES)),
        blank_penalty=0,
        loop_penalty=2,
        entry_penalty=0,
        limits=UNLIMITED,
    )
    for frame in frames:
        decoder.step(frame)
    for finish in decoder.finishes():
        states = decoder.states(finish.token)
        assert len(states) == finish.age
        assert (np.diff(states // 2) >= 0).all()
        resting = states % 2 == 1
        assert finish.quiet == (len(states) if resting.all() else int(resting[::-1].argmin()))


def test_memory_does_not_grow_with_time() -> None:
    limits = SearchLimits(max_frames=50)
    decoder = Decoder(
        build_network(chain_graph(SENTENCES)), blank_penalty=0, loop_penalty=2, entry_penalty=0, limits=limits
    )
    rng = np.random.default_rng(1)
    for _ in range(2000):
        decoder.step(log_softmax(rng.normal(0, 3, (1, len(TOKENS))))[0])
        assert len(decoder.history) <= 50
        assert len(decoder.tokens.state) <= 2 * len(decoder.network.emission)
        assert (decoder.tokens.age <= 50).all()


def test_a_disabled_command_cannot_be_heard() -> None:
    graph = chain_graph(SENTENCES)
    decoder = Decoder(
        build_network(graph, {"go"}), blank_penalty=0, loop_penalty=6, entry_penalty=0, limits=UNLIMITED
    )
    rng = np.random.default_rng(2)
    for _ in range(50):
        decoder.step(log_softmax(rng.normal(0, 3, (1, len(TOKENS))))[0])
        for finish in decoder.finishes():
            assert graph.final[decoder.states(finish.token)[-1] // 2] == 0


def test_looking_ahead_changes_nothing() -> None:
    decoder = Decoder(
        build_network(chain_graph(SENTENCES)),
        blank_penalty=0,
        loop_penalty=2,
        entry_penalty=0,
        limits=UNLIMITED,
    )
    twin = decoder.copy()
    rng = np.random.default_rng(3)
    for frame in log_softmax(rng.normal(0, 3, (30, len(TOKENS)))):
        decoder.step(frame)
        twin.step(frame)
        ahead = decoder.copy()
        for _ in range(3):
            ahead.step(log_softmax(rng.normal(0, 3, (1, len(TOKENS))))[0])
        assert list(decoder.finishes()) == list(twin.finishes())
        assert decoder.background.quiet_frames == twin.background.quiet_frames
