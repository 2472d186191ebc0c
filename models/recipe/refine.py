"""Better labels with the help of a model: how a word was said, and which clips do not say their text."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.recipe.corpus import Clip
from models.recipe.ctc import losses
from models.recipe.network import FRAME, Network, Window
from models.recipe.sliding import slide
from models.recipe.tokens import first_variant

WINDOW = Window(hop=40, look_ahead=24)
BATCH_SECONDS = 600.0
MIN_GAIN = 0.5
"""Nats by which another pronunciation must be likelier than the first."""
Words = list[list[list[int]]]
"""Per word, its pronunciations as token indices."""


def _batches(clips: Sequence[Clip]) -> Iterator[list[int]]:
    """Group clips of like length."""
    batch: list[int] = []
    for i in sorted(range(len(clips)), key=lambda i: clips[i].seconds):
        if batch and (len(batch) + 1) * (clips[i].seconds + 3) > BATCH_SECONDS:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _logp(network: Network, audio: Sequence[NDArray[np.int16]], device: torch.device) -> Tensor:
    """Return log-probabilities [B, T, tokens] of clips, each with a window's silence before and after."""
    lead = (WINDOW.frames - WINDOW.look_ahead - WINDOW.hop) * FRAME
    frames = -(-max(len(a) for a in audio) // FRAME) // WINDOW.hop + 1
    samples = WINDOW.samples + frames * WINDOW.hop * FRAME
    x = torch.randn(len(audio), samples, device=device) * 1e-4
    for row, a in zip(x, audio, strict=True):
        row[lead : lead + len(a)] += torch.from_numpy(np.array(a)).to(device).float() / 32768
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        return slide(network, x, WINDOW).float().log_softmax(-1)


def _losses(logp: Tensor, targets: Sequence[Sequence[int]]) -> Tensor:
    """Return the CTC loss of each target, nats, for log-probabilities [len(targets), T, tokens].

    It is infinite for what is too long for its sound: such a clip does not say its text, and is dropped.
    """
    return losses(logp, [logp.shape[1]] * len(targets), targets, zero_infinity=False)


def likeliest(logp: Tensor, words: Words) -> Words:
    """Put the likeliest pronunciation of each word first, for a clip's log-probabilities [T, tokens]."""
    choices = [(w, v) for w, options in enumerate(words) for v in range(1, len(options))]
    tried = [first_variant([*words[:w], [words[w][v]], *words[w + 1 :]]) for w, v in choices]
    first, *others = _losses(
        logp[None].expand(1 + len(tried), -1, -1), [first_variant(words), *tried]
    ).tolist()
    gains = [first - loss for loss in others]
    best = [list(options) for options in words]
    for gain, (w, v) in sorted(zip(gains, choices, strict=True)):  # the best comes last, and wins
        if gain > MIN_GAIN:
            best[w] = [words[w][v], *(other for other in words[w] if other != words[w][v])]
    return best


def refine(
    network: Network,
    clips: Sequence[Clip],
    audio: Sequence[NDArray[np.int16]],
    device: torch.device,
    variants: bool,
) -> list[tuple[Clip, float]]:
    """Return each clip and its loss per sound in nats; if `variants`, likeliest pronunciations first."""
    out: list[tuple[Clip, float]] = [(clip, 0.0) for clip in clips]
    for batch in _batches(clips):
        logp = _logp(network, [audio[i] for i in batch], device)
        costs = _losses(logp, [first_variant(clips[i].words) for i in batch]).tolist()
        for row, (i, loss) in enumerate(zip(batch, costs, strict=True)):
            words = clips[i].words
            if variants:
                words = likeliest(logp[row], words)
                loss = float(_losses(logp[row : row + 1], [first_variant(words)])[0])
            out[i] = (replace(clips[i], words=words), loss / max(1, len(first_variant(words))))
    return out
