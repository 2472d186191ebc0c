"""Outliers spread over all channels, for eight bits; in float the network answers as before.

A few channels of the stream that the blocks add to are fifty times as loud as the rest, and one scale for
all leaves the rest a few steps. So the stream is kept in other axes: an orthogonal matrix that leaves the
mean of a frame alone passes through every LayerNorm, so it can go into the matrices before and after, once
the norms' own weights have. Two small products are new, where the stream begins and ends. (QuaRot, Ashkboos
et al. 2024, does this for norms without a mean.)
"""

from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, nn

from models.recipe.export import Deployed
from models.recipe.network import WIDTH, Block, Network


def axes(seed: int = 0) -> Tensor:
    """Return a random orthogonal matrix [WIDTH, WIDTH] that maps the vector of ones to itself."""
    generator = torch.Generator().manual_seed(seed)
    one, other = (_ones_first(generator) for _ in range(2))
    return (one @ other.T).float()


def _ones_first(generator: torch.Generator) -> Tensor:
    drawn = torch.randn(WIDTH, WIDTH, generator=generator, dtype=torch.float64)
    drawn[:, 0] = 1
    columns, _ = torch.linalg.qr(drawn)
    columns[:, 0] *= columns[0, 0].sign()
    return columns


class Spread(Deployed):
    """As `Deployed`, and it answers as that does."""

    def __init__(self, network: Network, frames: int) -> None:
        turned, turn = deepcopy(network), axes()
        with torch.no_grad():
            for block in (cast(Block, each) for each in turned.encoder.blocks):
                attention = block.attention
                for norm, readers in (
                    (block.norm1, (attention.q, attention.k, attention.v)),
                    (block.norm2, (block.fc1,)),
                ):
                    for reader in readers:
                        reader.weight.copy_((reader.weight * norm.weight) @ turn)
                    norm.weight.fill_(1)
                for writer in (attention.o, block.fc2):
                    writer.weight.copy_(turn.T @ writer.weight)
                block.fc2.bias.copy_(block.fc2.bias @ turn)
            last = turned.encoder.norm
            back = turn * last.weight[:, None]
            last.weight.fill_(1)
        super().__init__(turned, frames)
        self.enter = nn.Conv2d(WIDTH, WIDTH, 1, bias=False)
        self.enter.weight.data = turn.T[:, :, None, None].contiguous()
        self.leave = nn.Linear(WIDTH, WIDTH, bias=False)
        self.leave.weight.data = back
