"""Kokoro-82M in PyTorch, many utterances at once: hours of speech in minutes on a GPU.

The network is the `kokoro` package's; the weights come from the published ONNX file. Utterances are first
given durations, then sorted by length and spoken in batches of equal length: the silence at the end of the
shorter ones is made longer, and cut off again. So the decoder needs no masks.
"""

import importlib.util
import json
import sys
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.signal import firwin
from torch import nn
from torch.nn.utils import remove_weight_norm

from models.recipe.jobs import Job
from models.recipe.kokoro_weights import read_weights
from models.recipe.voices import Mix, load_styles, style

FRAME_SAMPLES = 600
"""Samples at 24 kHz of one duration frame."""
_POOL = 4096  # utterances sorted by length at a time
_BATCH_FRAMES = 12_000  # frames (of 25 ms) of one batch of the decoder
_LIKE = 0.95  # shortest of a batch against its longest: more silence would shift the instance norms
_BERT = {
    "vocab_size": 178, "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 2048,
    "max_position_embeddings": 512, "num_hidden_layers": 12,
}  # fmt: skip
_VOCODER = {
    "resblock_kernel_sizes": [3, 7, 11], "upsample_rates": [10, 6], "upsample_initial_channel": 512,
    "resblock_dilation_sizes": [[1, 3, 5]] * 3, "upsample_kernel_sizes": [20, 12], "gen_istft_n_fft": 20,
    "gen_istft_hop_size": 5,
}  # fmt: skip


def _network() -> Any:
    """The bare network, on the CPU; untyped, like the package that it comes from."""
    # Kokoro's package imports its text front end, spaCy included: take its network modules alone.
    if "kokoro" not in sys.modules:
        spec = importlib.util.find_spec("kokoro")
        if spec is None or spec.submodule_search_locations is None:
            raise ModuleNotFoundError("the package 'kokoro' is missing: pip install --no-deps kokoro==0.9.4")
        bare = types.ModuleType("kokoro")
        bare.__path__ = list(spec.submodule_search_locations)
        sys.modules["kokoro"] = bare
    from kokoro.istftnet import Decoder
    from kokoro.modules import CustomAlbert, ProsodyPredictor, TextEncoder
    from transformers import AlbertConfig

    network: Any = nn.Module()
    network.bert = CustomAlbert(AlbertConfig(**_BERT), add_pooling_layer=False)
    network.bert_encoder = nn.Linear(768, 512)
    network.predictor = ProsodyPredictor(style_dim=128, d_hid=512, nlayers=3, max_dur=50, dropout=0.2)
    network.text_encoder = TextEncoder(channels=512, kernel_size=5, depth=3, n_symbols=178)
    network.decoder = Decoder(dim_in=512, style_dim=128, dim_out=80, **_VOCODER)
    for module in network.modules():
        if hasattr(module, "weight_g"):
            remove_weight_norm(module)
    return network


def _in_bfloat16(module: Any) -> None:
    """Compute a module in bfloat16 and answer in float32: half the time, and no ear tells them apart."""
    exact = module.forward

    def forward(x: torch.Tensor, voice: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, torch.bfloat16):
            answer: torch.Tensor = exact(x, voice)
        return answer.float()

    module.forward = forward


@dataclass
class _Timed:
    """An utterance and its timing: `d` prosody [tokens, 640], `t` text [tokens, 512], `style` [256]."""

    job: Job
    d: torch.Tensor
    t: torch.Tensor
    style: torch.Tensor
    durations: torch.Tensor
    frames: int


class KokoroTorch:
    """A voice for jobs; `folder` holds model.onnx, vocab.json and voices/."""

    def __init__(self, folder: Path, device: str) -> None:
        self._device = torch.device(device)
        network = _network()
        weights = {
            name: torch.from_numpy(np.array(value))
            for name, value in read_weights(folder / "model.onnx").items()
        }
        missing, _ = network.load_state_dict(weights, strict=False)
        # Instance norms carry an identity that the file leaves out; BERT counts its positions itself.
        if lost := [name for name in missing if ".norm." not in name and "position_ids" not in name]:
            raise ValueError(f"{folder / 'model.onnx'} lacks weights: {', '.join(lost[:5])} ...")
        self._net = network.to(self._device).eval()
        if self._device.type == "cuda":
            for block in (*self._net.decoder.generator.resblocks, *self._net.decoder.generator.noise_res):
                _in_bfloat16(block)
        self._vocabulary: dict[str, int] = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))[
            "vocab"
        ]
        self._styles = load_styles(folder / "voices")
        # 24 to 16 kHz: up by 2, low-pass at 7.8 kHz, down by 3.
        self._low_pass = torch.tensor(
            2 * firwin(193, 7800, fs=48_000), dtype=torch.float32, device=self._device
        )

    def speak(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, npt.NDArray[np.int16]]]:
        """Speak jobs: int16 at 16 kHz each, in another order than they came."""
        remaining = iter(jobs)
        while pool := list(islice(remaining, _POOL)):
            yield from self._speak_pool(pool)

    def _speak_pool(self, jobs: list[Job]) -> Iterator[tuple[Job, npt.NDArray[np.int16]]]:
        jobs = sorted(jobs, key=lambda job: len(job.spoken))
        with torch.inference_mode():
            timed = [
                one for start in range(0, len(jobs), 128) for one in self._time(jobs[start : start + 128])
            ]
        timed.sort(key=lambda one: one.frames)
        while timed:
            longest = timed[-1].frames
            batch = [
                one for one in timed[-max(1, _BATCH_FRAMES // longest) :] if one.frames >= _LIKE * longest
            ]
            timed = timed[: -len(batch)]
            with torch.inference_mode():
                sounds = self._decode(batch)
            yield from zip((one.job for one in batch), sounds, strict=True)

    def _time(self, jobs: list[Job]) -> list[_Timed]:
        """Text to durations for a batch."""
        net, device = self._net, self._device
        tokens = [[0, *(self._vocabulary[c] for c in job.spoken if c in self._vocabulary), 0] for job in jobs]
        lengths = torch.tensor([len(row) for row in tokens])
        ids = nn.utils.rnn.pad_sequence([torch.tensor(row) for row in tokens], batch_first=True).to(device)
        styles = [
            style(Mix.parse(job.mix), self._styles, len(row) - 2)
            for job, row in zip(jobs, tokens, strict=True)
        ]
        voice = torch.from_numpy(np.stack(styles)).to(device)
        speed = torch.tensor([job.speed for job in jobs], device=device)
        padding = torch.arange(ids.shape[1])[None] >= lengths[:, None]
        padding = padding.to(device)
        context = net.bert_encoder(net.bert(ids, attention_mask=(~padding).int())).transpose(1, 2)
        d = net.predictor.text_encoder(context, voice[:, 128:], lengths, padding)
        packed = nn.utils.rnn.pack_padded_sequence(d, lengths, batch_first=True, enforce_sorted=False)
        x, _ = nn.utils.rnn.pad_packed_sequence(net.predictor.lstm(packed)[0], batch_first=True)
        duration = torch.sigmoid(net.predictor.duration_proj(x)).sum(-1) / speed[:, None]
        durations = torch.round(duration).clamp(min=1).long().masked_fill(padding, 0).cpu()
        text = net.text_encoder(ids, lengths, padding).transpose(1, 2)
        return [
            _Timed(job, d[i, :n], text[i, :n], voice[i], durations[i, :n], int(durations[i, :n].sum()))
            for i, (job, n) in enumerate(zip(jobs, lengths.tolist(), strict=True))
        ]

    def _decode(self, batch: list[_Timed]) -> list[npt.NDArray[np.int16]]:
        """Durations to sound for a batch."""
        net, frames = self._net, max(one.frames for one in batch)
        prosody, text = [], []
        for one in batch:
            stretched = one.durations.clone()
            stretched[-1] += frames - one.frames  # the closing silence
            index = torch.repeat_interleave(torch.arange(len(stretched)), stretched).to(self._device)
            prosody.append(one.d[index].T)
            text.append(one.t[index].T)
        voice = torch.stack([one.style for one in batch])
        pitch, energy = net.predictor.F0Ntrain(torch.stack(prosody), voice[:, 128:])
        audio = net.decoder(torch.stack(text), pitch, energy, voice[:, :128]).reshape(len(batch), -1)
        return self._to_16k(audio, [one.frames * FRAME_SAMPLES * 2 // 3 for one in batch])

    def _to_16k(self, audio: torch.Tensor, lengths: list[int]) -> list[npt.NDArray[np.int16]]:
        doubled = torch.zeros(audio.shape[0], 1, audio.shape[1] * 2, device=self._device)
        doubled[:, 0, ::2] = audio
        low = nn.functional.conv1d(doubled, self._low_pass[None, None], padding=96, stride=3)[:, 0]
        low = low / low.abs().amax(1, keepdim=True).clamp(min=1.0)
        whole = (low * 32767).round().to(torch.int16).cpu().numpy()
        return [row[:length].copy() for row, length in zip(whole, lengths, strict=True)]
