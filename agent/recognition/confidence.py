"""How well a sentence fits what was heard, word by word.

A sentence is only as sure as its worst word: the mean over "turn the pump on" hides that "on" was "off".
Each word's score is the mean log-likelihood ratio, per sound, of the sentence against the best free
sequence of sounds over the same frames: 0 when nothing fits better, about -6 for each wrong sound.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.recognition.network import Network


@dataclass(frozen=True, slots=True)
class WordFit:
    """One word of a sentence, in frames relative to the sentence's first."""

    text: str
    first_frame: int
    end_frame: int
    """One past the last frame of the word's last sound."""
    score: float
    """Nats per sound, <= 0."""


def fit_words(network: Network, states: NDArray[np.intp], frames: NDArray[np.float32]) -> list[WordFit]:
    """Score each word of a path.

    Args:
        network: the network that was searched.
        states: shape [T], state per frame, as `Decoder.states` returns.
        frames: shape [T, V + 1], log-probabilities with the blank penalty applied and resting last.
    """
    loss = frames[np.arange(len(states)), network.emission[states]] - frames.max(axis=1)
    nodes = states // 2
    sounding = states % 2 == 0
    entered = np.flatnonzero(np.diff(nodes, prepend=-1) != 0)
    last_sound = int(np.flatnonzero(sounding)[-1])
    fits = []
    first, sounds = 0, 0
    for position, frame in enumerate(entered):
        sounds += 1
        word = network.graph.word[nodes[frame]]
        if word < 0:
            continue
        following = int(entered[position + 1]) if position + 1 < len(entered) else last_sound + 1
        sound_end = int(frame + np.flatnonzero(sounding[frame:following])[-1]) + 1
        score = float(loss[first:following].sum()) / sounds
        fits.append(WordFit(network.graph.words[word].text, first, sound_end, score))
        first, sounds = following, 0
    return fits


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
