"""A site's own recordings train the upper part of a network, held by what it knew before.

Three things hold it: the lower part stays as it is; every step pulls the weights back to where they began;
and other people's commands (of the bundle's golden set) must be answered as before.
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from models.recipe import ctc
from models.recipe.hearings import Hearing, Upper
from models.recipe.network import Network
from models.recipe.tokens import TOKENS


@dataclass(frozen=True, slots=True)
class Settings:
    """How much is learnt, and how fast. Chosen by the figures in EXPERIMENTS.md."""

    blocks: int = 0
    """How many of the last blocks are trained; the head always is."""
    guises: int = 1
    """In which a recording is heard, beside itself as recorded."""
    passes: int = 3
    """Over all recordings in all guises."""
    rate: float = 5e-4
    pull: float = 20.0
    """Towards the weights before: their share that a step takes back is this times the step's rate."""
    rehearsal: float = 1.0
    """Weight of the answers to other people's commands, which shall stay as they were."""
    batch: int = 4
    """Recordings in a step; half as many of other people's commands come on top."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """A recording in one guise, and the sounds in it."""

    hearing: Hearing
    target: tuple[int, ...]
    foreign: Tensor
    """bool [tokens]: sounds of other languages; the agent does not listen for them either."""


def foreign_sounds(language: str) -> Tensor:
    """Return which tokens do not belong to a language (`en` or `zh`), bool [tokens].

    ARPAbet is written in capitals and pinyin in small letters.
    """
    own = str.isupper if language == "en" else str.islower
    return torch.tensor([not (own(token) or token.startswith("<")) for token in TOKENS])


def losses(upper: Upper, lessons: Sequence[Lesson]) -> Tensor:
    """Return the CTC loss of each lesson, nats, [lessons]."""
    logits = upper.answers([each.hearing for each in lessons])
    masked = [own.masked_fill(each.foreign, -1e4) for own, each in zip(logits, lessons, strict=True)]
    logp = pad_sequence([own.log_softmax(-1) for own in masked], batch_first=True)
    return ctc.losses(logp, [len(own) for own in logits], [each.target for each in lessons])


def adapt(
    network: Network,
    lessons: Sequence[Lesson],
    others: Sequence[Hearing],
    settings: Settings,
    say: Callable[[str], None] = lambda _: None,
) -> Network:
    """Return a network whose upper part has learnt the lessons; the one given stays as it is.

    Args:
        network: the one in use.
        lessons: at least one, heard with the lower part of `network`.
        others: speech of others, likewise.
        settings: see there.
        say: is told how it goes.
    """
    adapted = copy.deepcopy(network)
    upper = Upper(adapted, settings.blocks)
    with torch.no_grad():
        known = [answer.log_softmax(-1) for each in others for answer in upper.answers([each])]
    weights: list[Tensor] = [weight for weight in upper.parameters() if weight.requires_grad]
    start = [weight.detach().clone() for weight in weights]
    optimizer = torch.optim.AdamW(weights, settings.rate, (0.9, 0.98), weight_decay=0.0)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    per_pass = math.ceil(len(lessons) / settings.batch)
    steps = settings.passes * per_pass
    total = torch.zeros(2)
    upper.train()
    for step in range(steps):
        if step % per_pass == 0:
            order = rng.permutation(len(lessons))
        chosen = [lessons[i] for i in order[step % per_pass :: per_pass]]
        rate = settings.rate * min(1.0, (step + 1) / 5) * 0.5 * (1 + math.cos(math.pi * step / steps))
        learnt = losses(upper, chosen).sum() / sum(len(each.target) for each in chosen)
        kept = torch.zeros(())
        if others:
            some = rng.choice(len(others), min(len(others), settings.batch // 2), replace=False)
            kept = _drift(upper, [others[i] for i in some], [known[i] for i in some])
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        (learnt + settings.rehearsal * kept).backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(weights, start, min(1.0, rate * settings.pull))
        total += torch.stack([learnt.detach(), kept.detach()])
        if (step + 1) % per_pass == 0:
            own, drift = (total / per_pass).tolist()
            total.zero_()
            number = (step + 1) // per_pass
            say(f"pass {number} of {settings.passes}: loss {own:.3f} per sound, drift {drift:.4f}")
    return adapted.eval()


def _drift(upper: Upper, others: Sequence[Hearing], known: Sequence[Tensor]) -> Tensor:
    """Return how far answers have moved: Kullback-Leibler divergence, nats per frame."""
    now = torch.cat(upper.answers(others)).log_softmax(-1)
    return functional.kl_div(now, torch.cat(list(known)), log_target=True, reduction="batchmean")
