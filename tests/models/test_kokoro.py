"""Kokoro's weights out of the ONNX file, and the PyTorch port against ONNX Runtime."""

import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="weights are read with onnx, of the extra `train`")

from models.recipe import kokoro_weights
from models.recipe.jobs import Job

KOKORO = Path(os.environ.get("VOXLINE_CACHE", "~/.cache/voxline")).expanduser() / "kokoro"


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("/encoder/F0.0/conv1/Conv_quant", "predictor.F0.0.conv1"),
        ("/encoder/text_encoder/cnn.0/cnn.0.0/Conv_quant", "text_encoder.cnn.0.0"),
        ("/encoder/predictor/text_encoder/lstms.2/LSTM_quant", "predictor.text_encoder.lstms.2"),
        ("/encoder/shared/LSTM_quant", "predictor.shared"),
        (
            "/decoder/decoder/generator/resblocks.1/convs1.0/Conv_quant",
            "decoder.generator.resblocks.1.convs1.0",
        ),
        (
            "/encoder/bert/encoder/albert_layer_groups.0/albert_layers.0/attention/query_7/MatMul_quant",
            "bert.encoder.albert_layer_groups.0.albert_layers.0.attention.query",
        ),
        ("encoder.predictor.F0.0.conv1.bias", "predictor.F0.0.conv1.bias"),
        ("decoder.decoder.asr_res.0.bias", "decoder.asr_res.0.bias"),
    ],
)
def test_a_node_names_its_module(name: str, module: str) -> None:
    assert kokoro_weights._module(name) == module


def test_lstm_gates_are_put_into_the_order_of_pytorch() -> None:
    gates = np.repeat(np.array([1, 2, 3, 4], np.int8), 2)  # i o f c, two units each
    stored: dict[str, Any] = {
        "w": np.stack([gates[None], gates[None]]),
        "r": np.stack([np.stack([gates, gates])] * 2),
        "b": np.stack([np.arange(16, dtype=np.float32)] * 2),
        "s": np.array([0.5, 2.0], np.float32),
        "z": np.zeros(2, np.int8),
    }
    found = kokoro_weights._lstm(["x", "w", "r", "b", "", "h", "c", "", "s", "z", "s", "z"], stored)
    assert found["weight_ih_l0"][:, 0].tolist() == [0.5, 0.5, 1.5, 1.5, 2.0, 2.0, 1.0, 1.0]  # i f c o
    assert found["weight_hh_l0_reverse"].shape == (8, 2)
    assert found["bias_ih_l0"].tolist() == [0, 1, 4, 5, 6, 7, 2, 3]
    assert found["bias_hh_l0"].tolist() == [8, 9, 12, 13, 14, 15, 10, 11]


def test_the_port_speaks_like_the_original() -> None:
    pytest.importorskip("torch", reason="the port needs torch, of the extra `train`")
    if importlib.util.find_spec("kokoro") is None:
        pytest.skip("the port needs kokoro==0.9.4, installed with --no-deps")
    if not KOKORO.exists():
        pytest.skip(f"Kokoro is not in {KOKORO}: python -m models.recipe synthesize fetch")
    from models.recipe.kokoro_onnx import KokoroOnnx
    from models.recipe.kokoro_torch import KokoroTorch

    job = Job("1", "en", "command", "af_heart:0.60+am_adam:0.40", 1.0, "start", "stˈɑɹt ðə pɹˈɛs.", "")
    original = KokoroOnnx(KOKORO).speak(job)
    ((_, port),) = KokoroTorch(KOKORO, "cpu").speak([job])
    assert abs(len(original) - len(port)) <= 800  # two duration frames: activations are not quantized here
    loudness = [
        np.array([np.sqrt(np.mean(piece.astype(float) ** 2)) for piece in np.array_split(sound, 40)])
        for sound in (original, port)
    ]
    assert np.corrcoef(loudness[0], loudness[1])[0, 1] > 0.9
