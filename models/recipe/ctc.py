"""The CTC loss, laid out for PyTorch in one place."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def losses(
    logp: Tensor, frames: Sequence[int], targets: Sequence[Sequence[int]], *, zero_infinity: bool = True
) -> Tensor:
    """Return the loss of each target, nats, [B].

    Args:
        logp: log-probabilities, [B, T, tokens].
        frames: how many of the T are each one's.
        targets: tokens of each.
        zero_infinity: a target that needs more frames than there are costs nothing, so that it teaches
            nothing; otherwise its loss is infinite.
    """
    return functional.ctc_loss(
        logp.transpose(0, 1),
        torch.tensor([token for each in targets for token in each], dtype=torch.long, device=logp.device),
        torch.tensor(frames),
        torch.tensor([len(target) for target in targets]),
        reduction="none",
        zero_infinity=zero_infinity,
    )
