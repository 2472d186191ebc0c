"""Phone error rate by greedy decoding, clean and in noise."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.recipe.tokens import BLANK, NOISE

BLOCK = 2048


def greedy(logits: Tensor, blank_penalty: float = 0.0) -> list[int]:
    """Return the tokens of the best path of logits [T, tokens]; blank costs a penalty in nats."""
    scores = logits.clone()
    scores[:, BLANK] -= blank_penalty
    best = torch.unique_consecutive(scores.argmax(1)).tolist()
    return [token for token in best if token not in (BLANK, NOISE)]


def distances(heard: Sequence[int], references: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """Return the edit distance of one token sequence to each of several."""
    lengths = np.array([len(reference) for reference in references])
    table = np.full((len(references), lengths.max()), -1)
    for row, reference in zip(table, references, strict=True):
        row[: len(reference)] = reference
    steps = np.arange(table.shape[1] + 1)
    costs = np.tile(steps, (len(references), 1))
    for count, token in enumerate(heard, 1):
        change = np.minimum(costs[:, 1:] + 1, costs[:, :-1] + (table != token))
        first = np.full((len(references), 1), count)
        costs = np.minimum.accumulate(np.concatenate([first, change], axis=1) - steps, axis=1) + steps
    return costs[np.arange(len(references)), lengths]


def error_rate(pairs: Iterable[tuple[Sequence[int], Sequence[Sequence[int]]]]) -> float:
    """Return phone errors per reference phone; of several references the nearest counts."""
    errors = total = 0
    for heard, references in pairs:
        all_errors = distances(heard, references)
        nearest = int(np.argmin(all_errors))
        errors += int(all_errors[nearest])
        total += len(references[nearest])
    return errors / max(total, 1)


def loudest_energy(x: Tensor) -> Tensor:
    """Return the largest mean square of a block of BLOCK samples, which noise ratios refer to."""
    blocks = x[: max(BLOCK, len(x) // BLOCK * BLOCK)]
    return blocks[: len(blocks) // BLOCK * BLOCK].unflatten(0, (-1, BLOCK)).pow(2).mean(1).max()


def with_noise(speech: Tensor, noise: Tensor, snr_db: float) -> Tensor:
    """Add noise, repeated or cut to the length of the speech, at a ratio of largest block energies."""
    fitted = noise.repeat(len(speech) // len(noise) + 1)[: len(speech)]
    ratio = loudest_energy(speech) / loudest_energy(fitted).clamp(min=1e-12) / 10 ** (snr_db / 10)
    return speech + fitted * ratio.sqrt()
