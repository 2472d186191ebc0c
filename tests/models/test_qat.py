from typing import cast

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra `train`)")

from torch import Tensor  # noqa: E402

from models.recipe.export import framed  # noqa: E402
from models.recipe.network import FRAME, LAYERS, RECEPTIVE, Block, Network  # noqa: E402
from models.recipe.qat import Ranges, Settings, Watched, train, weights_rounded  # noqa: E402
from models.recipe.spread import Spread  # noqa: E402
from models.recipe.tokens import TOKENS  # noqa: E402

FRAMES = 12


def windows(count: int) -> list[np.ndarray]:
    """Make tones that come and go in noise, of many levels."""
    rng = np.random.default_rng(0)
    seconds = np.arange((FRAMES - 1) * FRAME + RECEPTIVE) / 16_000
    made = []
    for _ in range(count):
        tone = np.sin(2 * np.pi * rng.uniform(100, 3000) * seconds) * np.sin(2 * np.pi * 4 * seconds)
        sound = 10 ** rng.uniform(-3, -1) * (tone + 0.3 * rng.normal(size=len(seconds)))
        made.append(framed(sound.astype(np.float32)))
    return made


def test_a_network_learns_to_be_rounded() -> None:
    torch.manual_seed(0)
    network = Network(len(TOKENS)).eval()
    with torch.no_grad():  # louder than at its birth, so that rounding costs something
        network.head.out.weight *= 30
        for block in (cast(Block, each) for each in network.encoder.blocks):
            block.fc2.weight *= 3
    spread = Spread(network, FRAMES)
    before = {name: weight.clone() for name, weight in spread.named_parameters()}
    heard, said = windows(8), list[str]()
    settings = Settings(steps=6, batch=4, warmup=1, calibrated=4, judged=4)
    train(spread, [*heard, *heard[4:]], settings, said.append)
    first, last = (float(line.split()[4]) for line in said)
    assert last < 0.7 * first
    moved = {name.split(".")[0] for name, own in spread.named_parameters() if not own.equal(before[name])}
    assert moved == {"blocks", "norm", "leave", "head_norm", "head1", "head2", "out"}


def test_every_operation_above_the_convolutions_is_rounded() -> None:
    network = Spread(Network(len(TOKENS)).eval(), FRAMES)
    places: list[int] = []

    def seen(place: int, value: Tensor) -> Tensor:
        places.append(place)
        return value

    with torch.no_grad():
        entered = network.below(torch.from_numpy(windows(1)[0]))
        with Watched(seen):
            network.above(entered)
    # Of a block: norms, matrices, products by tables and their sums, scores to mixed, GELU, the stream.
    # After the blocks: norms, `leave`, convolutions, ReLU.
    count = LAYERS * (2 + 8 + 4 + 2 + 3 + 1 + 2) + 2 + 1 + 3 + 2
    assert places == list(range(1, count + 1))


def test_a_tensor_is_rounded_by_its_range_and_keeps_zero() -> None:
    ranges = Ranges()
    for seen in ([-1.0, 0.5], [0.0, 3.0]):
        ranges.widen(1, torch.tensor(seen))
    value = torch.tensor([-1.4, -1.0, 0.0, 0.007, 0.009, 3.0, 8.0], requires_grad=True)
    out = ranges.round(1, value)
    step = 4 / 255
    torch.testing.assert_close(
        out.detach() / step, torch.tensor([-64.0, -64, 0, 0, 1, 191, 191]), atol=1e-3, rtol=0
    )
    out.sum().backward()  # type: ignore[no-untyped-call]
    assert value.grad is not None
    assert value.grad.tolist() == [0, 1, 1, 1, 1, 1, 0]


def test_matrices_are_rounded_for_a_while() -> None:
    exact = torch.tensor([[1.27, 0.014, -1.0], [0.0, 0.0, 0.0], [0.00127, 0.000014, 0.0]])
    matrix = exact.clone()
    with weights_rounded([matrix]):
        expected = torch.tensor([[1.27, 0.01, -1.0], [0, 0, 0], [0.00127, 0.00001, 0]])
        torch.testing.assert_close(matrix, expected, atol=1e-8, rtol=1e-5)
    assert matrix.equal(exact)
