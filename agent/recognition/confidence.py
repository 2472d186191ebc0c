"""How well a sentence fits what was heard, word by word.

A sentence is only as sure as its worst word, and a word only as sure as its worst sound: the mean over "turn
the pump on" hides that "on" was "off". Each word's score says by how many nats the sentence would fit better
with another sound in the place of the word's worst one: 0 when none does, -10 and less for a wrong sound.
Where that sound makes another word, it was rather said than slurred; so such changes are told apart.
Words of a carrier phrase ("can I have") decide nothing, so nothing is held against them; badly said, they
tell of an accent, as any second bad word does.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.acoustics.manifest import Calibration
from agent.recognition.hypothesis import Reject
from agent.recognition.network import Network
from agent.recognition.swaps import swap_gains

EVIDENCE = frozenset(
    {
        "worst_word",
        "next_worst_word",
        "other_word",
        "doubt",
        "gain_per_sound",
        "sounds",
        "lead",
        "uncertainty",
        "talk_before",
        "foreign",
        "mandarin",
    }
)
"""By what a sentence is judged: the names that a bundle may give weights. `mandarin`, the share of Mandarin
sounds, lets a model that hears one language worse mean the same by a probability in both."""
LEAST_FOREIGN = 1e-5
"""A smaller share of foreign sounds tells nothing: half of what people say to a machine has less."""
WEAK_NATS = -6.0
"""A word with a lower score is not what was said, as far as the operator is told."""
LEAD_FRAMES = 12
"""Frames before a sentence in which its first sound may have been another."""


@dataclass(frozen=True, slots=True)
class WordFit:
    """One word of a sentence, in frames relative to the sentence's first."""

    text: str
    first_frame: int
    end_frame: int
    """One past the last frame of the word's last sound."""
    score: float
    """Nats, <= 0."""
    other_word: float
    """The same, of those changes alone that make another word of it."""
    sounds: tuple[str, ...]
    """As the sentence has them."""
    likelier: tuple[str, ...]
    """These with the one change that fits best; unchanged where none fits better."""
    carrier: bool
    """Nothing hangs on it, so that it does not speak against the sentence."""


def fit_words(network: Network, states: NDArray[np.intp], frames: NDArray[np.float32]) -> list[WordFit]:
    """Score each word of a path.

    Args:
        network: the network that was searched.
        states: shape [T], state per frame, as `Decoder.states` returns.
        frames: shape [at least T, V + 1], as `Decoder.emissions` returns; the last T are the sentence's.
    """
    frames = frames[-len(states) - LEAD_FRAMES :]
    lead = len(frames) - len(states)
    nodes = states // 2
    sounding = states % 2 == 0
    entered = np.flatnonzero(np.diff(nodes, prepend=-1) != 0)
    sounds = network.emission[2 * nodes[entered]]
    others = np.flatnonzero(network.native)
    gains = swap_gains(frames, sounds, entered + lead, others)
    column = np.cumsum(network.native) - 1
    fits = []
    opening = 0
    for position, frame in enumerate(entered):
        word = network.graph.word[nodes[frame]]
        if word < 0:
            continue
        spoken = network.graph.words[word]
        following = int(entered[position + 1]) if position + 1 < len(entered) else len(states)
        sound_end = int(frame + np.flatnonzero(sounding[frame:following])[-1]) + 1
        own = gains[opening : position + 1]
        said = sounds[opening : position + 1].tolist()
        changes = network.graph.neighbours.get(tuple(said), ())
        other = max((float(own[place, column[token]]) for place, token in changes), default=0.0)
        fits.append(
            WordFit(
                spoken.text,
                int(entered[opening]),
                sound_end,
                score=-max(0.0, float(own.max())),
                other_word=-max(0.0, other),
                sounds=tuple(network.graph.tokens[token] for token in said),
                likelier=tuple(network.graph.tokens[token] for token in _changed(said, own, others)),
                carrier=spoken.carrier,
            )
        )
        opening = position + 1
    return fits


def _changed(sounds: list[int], gains: NDArray[np.float32], others: NDArray[np.intp]) -> list[int]:
    """Return a word's sounds with the one change that gains most, if any gains; see `swap_gains`."""
    place, change = (int(index) for index in np.unravel_index(gains.argmax(), gains.shape))
    if gains[place, change] <= 0:
        return sounds
    return [*sounds[:place], *others[change : change + 1].tolist(), *sounds[place + 1 :]]


def uncertainty(log_probs: NDArray[np.float32]) -> float:
    """Return how little the model knows: the mean entropy of its answers, nats per frame.

    Args:
        log_probs: shape [T, K], of what may be heard; what else the model knows is left out of its answer.
    """
    among = log_probs - np.logaddexp.reduce(log_probs, axis=1, keepdims=True, dtype=np.float64)
    return float(-(np.exp(among) * np.maximum(among, -100.0)).sum(axis=1).mean())


def foreign(log_probs: NDArray[np.float32]) -> float:
    """Return how much sounds like another language: in decades, how far its share exceeds `LEAST_FOREIGN`.

    The search rules these sounds out, and finds the nearest sentence in whatever is spoken.

    Args:
        log_probs: shape [T, K], of sounds that no language of the grammar has.

    Returns:
        0 where there is none in the mean of the frames, 5 where there is nothing else.
    """
    share = float(np.exp(log_probs, dtype=np.float64).sum(axis=1).mean())
    return math.log10(1 + share / LEAST_FOREIGN)


def clarity(evidence: Mapping[str, float]) -> float:
    """Return the gain on the free loop, nats per sound, less what is uncertain and what sounds foreign.

    In Mandarin the shipped model hears one to ten percent of English (models/EXPERIMENTS.md), so that tells
    nothing there.
    """
    abroad = evidence["foreign"] * (1 - evidence["mandarin"])
    return evidence["gain_per_sound"] - 2 * evidence["uncertainty"] - 0.4 * abroad


def probability(evidence: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """Turn evidence into a calibrated probability by logistic regression (Platt 1999).

    Args:
        evidence: value by name.
        weights: weight by name, and `bias`; fitted on real speech, stored in the bundle.
    """
    logit = weights["bias"] + sum(
        weights[name] * value for name, value in evidence.items() if name in weights
    )
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, logit))))


def objection(
    evidence: Mapping[str, float], margin: float | None, probability: float, limits: Calibration
) -> Reject | None:
    """Return why a complete sentence is refused, None where it is believed.

    Args:
        evidence: value by name.
        margin: nats by which it beats what means something else; None where nothing came close.
        probability: of being right.
        limits: of the operating point.
    """
    if margin is not None and margin < limits.min_margin:
        return Reject.AMBIGUOUS
    if clarity(evidence) < limits.min_clarity:
        return Reject.BACKGROUND
    if probability < limits.min_probability:
        one_word = evidence["worst_word"] < WEAK_NATS <= evidence["next_worst_word"]
        return Reject.WEAK_WORD if one_word else Reject.BACKGROUND
    return Reject.IN_TALK if evidence["talk_before"] > limits.max_talk_before else None
