"""From trained weights to the ONNX file that runs: fixed window, shaped for the RK3568's converter.

Differences from training, none in the numbers: audio comes framed (the first convolution's strided windows,
which the host cuts without copying), convolutions are 4-D, rotary tables are constants, and the rotation of
queries and keys is a second projection, `q*cos + (x @ (W P))*sin`, since the toolkit's fuser fails on a small
product before a multiplication.
"""

import json
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from agent.audio.source import SAMPLE_RATE_HZ
from models.recipe.network import (
    FRAME,
    HEAD_WIDTH,
    HEADS,
    RECEPTIVE,
    WIDTH,
    Block,
    Network,
    Window,
    rotary_tables,
    swap_pairs,
)
from models.recipe.tokens import TOKENS

FRAMING = 127
FRAMING_HOP = 64
OPSET = 17


def framed(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut audio [samples] into the model's input, [1, FRAMING, 1, columns]."""
    windows = np.lib.stride_tricks.sliding_window_view(audio, FRAMING)[::FRAMING_HOP]
    return np.ascontiguousarray(windows.T[None, :, None, :])


def _conv4d(conv: nn.Conv1d) -> nn.Conv2d:
    """Make a 1-D convolution 4-D, with height 1."""
    (kernel,), (stride,) = conv.kernel_size, conv.stride
    out = nn.Conv2d(conv.in_channels, conv.out_channels, (1, kernel), (1, stride), (0, int(conv.padding[0])))
    out.weight.data = conv.weight.data[:, :, None]
    if conv.bias is not None and out.bias is not None:
        out.bias.data = conv.bias.data
    return out


def _linear(weight: Tensor) -> nn.Linear:
    out = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    out.weight.data = weight.contiguous()
    return out


class DeployedBlock(nn.Module):
    """A transformer block with constant rotary tables."""

    def __init__(self, block: Block, frames: int) -> None:
        super().__init__()
        a = block.attention
        turn = swap_pairs(torch.eye(WIDTH)).T  # turn @ x == swap_pairs(x)
        scale = HEAD_WIDTH**-0.5
        self.norm1, self.norm2, self.fc1, self.fc2 = block.norm1, block.norm2, block.fc1, block.fc2
        self.q, self.q_turned = _linear(a.q.weight * scale), _linear(turn @ a.q.weight * scale)
        self.k, self.k_turned = _linear(a.k.weight), _linear(turn @ a.k.weight)
        self.v, self.o = a.v, a.o
        cosine, sine = rotary_tables(frames)
        self.register_buffer("cosine", cosine.repeat(1, HEADS)[None])
        self.register_buffer("sine", sine.repeat(1, HEADS)[None])
        self.frames = frames

    def _heads(self, x: Tensor) -> Tensor:
        return x.reshape(1, self.frames, HEADS, HEAD_WIDTH).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map frames [1, T, WIDTH] to frames of the same shape."""
        y = self.norm1(x)
        q = self._heads(self.q(y) * self.cosine + self.q_turned(y) * self.sine)
        k = self._heads(self.k(y) * self.cosine + self.k_turned(y) * self.sine)
        mixed = (q @ k.transpose(2, 3)).softmax(-1) @ self._heads(self.v(y))
        x = x + self.o(mixed.transpose(1, 2).reshape(1, self.frames, WIDTH))
        out: Tensor = x + self.fc2(functional.gelu(self.fc1(self.norm2(x))))
        return out


class Deployed(nn.Module):
    """Framed audio [1, 127, 1, columns] to logits [1, tokens, 1, frames]."""

    def __init__(self, network: Network, frames: int) -> None:
        super().__init__()
        e, h = network.encoder, network.head
        self.conv1 = nn.Conv2d(FRAMING, WIDTH, 1, bias=False)
        self.conv1.weight.data = e.conv1.weight.data[:, 0, :, None, None].contiguous()
        self.groupnorm, self.norm = e.groupnorm, e.norm
        self.conv2, self.conv3 = _conv4d(e.conv2), _conv4d(e.conv3)
        self.blocks = nn.ModuleList(DeployedBlock(cast(Block, b), frames) for b in e.blocks)
        self.head_norm, self.head1, self.head2 = h.norm, _conv4d(h.conv1), _conv4d(h.conv2)
        self.out = nn.Conv2d(h.out.in_features, h.out.out_features, 1)
        self.out.weight.data = h.out.weight.data[:, :, None, None]
        self.out.bias.data = h.out.bias.data  # type: ignore[union-attr]
        self.enter: nn.Module = nn.Identity()
        self.leave: nn.Module = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Answer token logits."""
        return self.above(self.below(x))

    def below(self, x: Tensor) -> Tensor:
        """Answer what enters the transformer, [1, frames, WIDTH]."""
        x = self.groupnorm(torch.tanh(self.conv1(x)))
        x = functional.gelu(self.conv3(functional.gelu(self.conv2(x))))
        out: Tensor = self.enter(x).squeeze(2).transpose(1, 2)
        return out

    def above(self, x: Tensor) -> Tensor:
        """Answer token logits of what entered the transformer."""
        for block in self.blocks:
            x = block(x)
        x = self.head_norm(self.leave(self.norm(x))).transpose(1, 2).unsqueeze(2)
        out: Tensor = self.out(functional.relu(self.head2(functional.relu(self.head1(x)))))
        return out


def write_onnx(model: Deployed, features: Tensor, path: Path) -> NDArray[np.float32]:
    """Write a model, check the file, and return ONNX Runtime's answer to `features`."""
    with torch.no_grad():
        torch.onnx.export(
            model.eval(),
            (features,),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=["audio"],
            output_names=["logits"],
        )
    onnx.checker.check_model(onnx.load(path))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    answer: NDArray[np.float32] = session.run(None, {"audio": features.numpy()})[0]
    return answer


def export(weights: Path, folder: Path, window: Window) -> None:
    """Write `model.onnx`, `tokens.json` and `info.json` to a folder, and check them against PyTorch.

    Raises:
        ArithmeticError: ONNX Runtime and PyTorch disagree.
    """
    network = Network(len(TOKENS)).eval()
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    audio = torch.randn(window.samples, generator=torch.Generator().manual_seed(0)) * 0.05
    features = torch.from_numpy(framed(audio.numpy()))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    with torch.no_grad():
        expected = network(audio[None])[0].numpy()
    answer = write_onnx(Deployed(network, window.frames), features, path)
    error = float(np.abs(answer[0, :, 0].T - expected).max())
    if error > 1e-2:
        raise ArithmeticError(f"ONNX Runtime and PyTorch differ by {error} (logits)")
    (folder / "tokens.json").write_text(json.dumps(TOKENS), encoding="utf-8")
    info = {
        "input": {
            "name": "audio",
            "shape": list(features.shape),
            "framing": FRAMING,
            "framing_hop": FRAMING_HOP,
            "scale": "int16 / 32768",
        },
        "output": {"name": "logits", "shape": list(answer.shape), "values": "logits, before log-softmax"},
        "sample_rate_hz": SAMPLE_RATE_HZ,
        "window_samples": window.samples,
        "window_frames": window.frames,
        "frame_samples": FRAME,
        "frame_receptive_samples": RECEPTIVE,
        "hop_frames": window.hop,
        "look_ahead_frames": window.look_ahead,
        "first_used_frame": window.frames - window.look_ahead - window.hop,
        "torch_onnx_max_error": error,
    }
    (folder / "info.json").write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")
