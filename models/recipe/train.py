"""End-to-end training on the device at hand, resumable."""

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.recipe import augment
from models.recipe.corpus import Clip
from models.recipe.network import FRAME, Network, Window
from models.recipe.noise import HELD_OUT_CLASSES, HELD_OUT_FAMILIES
from models.recipe.sliding import slide
from models.recipe.streams import Bank, Planner, noise_track, render
from models.recipe.tokens import TOKENS


@dataclass(frozen=True, slots=True)
class Settings:
    """What a training run does."""

    steps: int = 2000
    seconds: float = math.inf
    """Time budget: the schedule follows steps or time, whichever is further."""
    windows: int = 1496
    """Windows in a batch; with 17 * 40, 34 * 20 or 68 * 10 frames scored per stream."""
    encoder_rate: float = 3e-4
    head_rate: float = 1e-3
    frozen_share: float = 0.05
    """Share of the run in which the encoder rests while the head learns."""
    warmup_share: float = 0.03
    average: float = 0.998
    """Decay of the averaged weights, per step."""
    save_every_s: float = 60.0
    compile: bool = False


SCORED = 680
"""Frames scored per stream."""


class Data:
    """Speech, noise and rooms on the device, and the batches made of them."""

    def __init__(
        self, speech: Sequence[Path], folder: Path, shares: dict[str, float], device: torch.device, seed: int
    ) -> None:
        """Load speech corpora; `noise` and `rooms.npy` from a folder; `shares` as in `sampling_weights`."""
        self.device, self.rng = device, np.random.default_rng(seed)
        self.speech, clips = Bank.load(speech, device)
        self.noise, noises = Bank.load([folder / "noise"], device)
        self.noise_candidates = np.array(
            [i for i, clip in enumerate(noises) if clip.text not in HELD_OUT_CLASSES | HELD_OUT_FAMILIES]
        )
        self.rooms = torch.from_numpy(np.load(folder / "rooms.npy")).to(device)
        self.planner = Planner(
            self.speech, [c.words for c in clips], sampling_weights(clips, shares), self.rng
        )

    def batch(self, windows: int, hop: int) -> tuple[Tensor, list[list[int]], Window]:
        """Make a batch: streams [B, samples], the tokens said in each, and the window to slide over them."""
        window = Window(hop=hop, look_ahead=int(self.rng.integers(4, 25)))
        per_stream = SCORED // hop
        count = max(1, windows // per_stream)
        samples = window.samples + (per_stream - 1) * hop * FRAME
        first = (window.frames - window.look_ahead - hop) * FRAME
        last = first + SCORED * FRAME - FRAME * 8
        plans = [
            self.planner.stream(max(0, first - 4 * FRAME), first + 2 * FRAME, last) for _ in range(count)
        ]
        silent = self.rng.random(count) < 0.06
        plans = [([], []) if quiet else plan for plan, quiet in zip(plans, silent, strict=True)]
        speech = render(self.speech, [pieces for pieces, _ in plans], samples)
        steady = [
            noise_track(self.noise, self.noise_candidates, samples, self.rng, 0.0) for _ in range(count)
        ]
        events = [
            noise_track(self.noise, self.noise_candidates, samples, self.rng, 6.0) for _ in range(count)
        ]
        layers = [render(self.noise, steady, samples), render(self.noise, events, samples)]
        size = 1 << (samples + self.rooms.shape[1]).bit_length()
        x = augment.filtered(speech, augment.room_spectra(self.rooms, count, size, 0.6))
        babble = speech.roll(1, 0) + speech.roll(3, 0).flip(1) + speech.roll(5, 0) + speech.roll(7, 0).flip(1)
        talk = torch.rand(count, 1, device=self.device) < 0.15
        layers[0] = torch.where(
            talk & (count > 8),
            augment.filtered(babble, augment.room_spectra(self.rooms, count, size, 1.0)),
            layers[0],
        )
        x = augment.mix(x, layers, -5, 30, 0.15)
        x = augment.filtered(x, augment.microphone_spectra(count, size, self.device))
        return augment.capture(x), [target for _, target in plans], window


def sampling_weights(clips: Sequence[Clip], shares: dict[str, float]) -> np.ndarray:
    """Return how often to draw each clip, so that each group of sources gets its share of what is heard.

    Args:
        clips: the corpus.
        shares: by the beginning of a source's name; a clip without words or share is never drawn.
    """
    groups = [next((name for name in shares if c.words and c.source.startswith(name)), None) for c in clips]
    seconds = {
        name: sum(c.seconds for c, g in zip(clips, groups, strict=True) if g == name) for name in shares
    }
    return np.array([shares[g] / seconds[g] if g else 0.0 for g in groups])


def ctc(logits: Tensor, targets: list[list[int]]) -> Tensor:
    """Return the CTC loss per token of a batch, logits [B, T, tokens]."""
    logp = logits.float().log_softmax(-1).transpose(0, 1)
    lengths = torch.tensor([len(t) for t in targets])
    flat = torch.tensor([token for target in targets for token in target], device=logits.device)
    steps = torch.full((len(targets),), logits.shape[1])
    loss = functional.ctc_loss(logp, flat, steps, lengths, reduction="none", zero_infinity=True)
    return loss.sum() / lengths.sum().clamp(min=1)


def rate(progress: float, settings: Settings) -> float:
    """Return the learning rate at a share of the run, as a share of its peak: warm up, then a cosine."""
    if progress < settings.warmup_share:
        return progress / settings.warmup_share
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def train(
    data: Data,
    start: dict[str, Tensor],
    folder: Path,
    settings: Settings,
    judge: Callable[[Network], dict[str, float]] | None = None,
) -> Network:
    """Train from `start` (weights of the encoder or of the whole network); return the averaged network.

    The state is saved in `folder` every minute and taken up again from there.
    """
    device = data.device
    network = Network(len(TOKENS)).to(device)
    network.load_state_dict(start, strict=False)
    averaged = Network(len(TOKENS)).to(device)
    averaged.load_state_dict(network.state_dict())
    optimizer = torch.optim.AdamW(
        [
            {"params": list(network.encoder.parameters()), "peak": settings.encoder_rate},
            {"params": list(network.head.parameters()), "peak": settings.head_rate},
        ],
        lr=0.0,
        betas=(0.9, 0.98),
        weight_decay=0.01,
        fused=device.type == "cuda",
    )
    step, spent = 0, 0.0
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        network.load_state_dict(state["network"])
        averaged.load_state_dict(state["averaged"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent = state["step"], state["spent"]
    forward = torch.compile(network) if settings.compile else network
    folder.mkdir(parents=True, exist_ok=True)
    log = (folder / "log.jsonl").open("a", encoding="utf-8")
    began = saved = noted = time.monotonic() - spent
    total = torch.zeros((), device=device)
    while True:
        now = time.monotonic()
        progress = max(step / settings.steps, (now - began) / settings.seconds)
        if progress >= 1 or now - saved > settings.save_every_s:
            state = {
                "network": network.state_dict(),
                "averaged": averaged.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": step,
                "spent": now - began,
            }
            torch.save(state, checkpoint.with_suffix(".partial"))
            checkpoint.with_suffix(".partial").rename(checkpoint)
            saved = now
        if progress >= 1:
            break
        network.train()
        frozen = progress < settings.frozen_share and "head.out.weight" not in start
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * rate(progress, settings)
        network.encoder.requires_grad_(not frozen)
        streams, targets, window = data.batch(settings.windows, 40 if data.rng.random() < 0.6 else 20)
        with torch.autocast(device.type, torch.bfloat16):
            logits = slide(forward, streams, window)
        loss = ctc(logits, targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        step += 1
        decay = min(settings.average, (step + 1) / (step + 20))
        with torch.no_grad():
            torch._foreach_lerp_(list(averaged.parameters()), list(network.parameters()), 1 - decay)
        total += loss.detach()
        if step % 100 == 0 or step == 1:
            entry: dict[str, float] = {
                "step": step,
                "seconds": round(now - began, 1),
                "progress": round(progress, 4),
                "loss": round(float(total) / (1 if step == 1 else 100), 4),
            }
            total.zero_()
            if judge and now - noted > 90:
                entry |= judge(averaged.eval())
                noted = time.monotonic()
            print(json.dumps(entry), file=log, flush=True)
            print(entry, flush=True)
    return averaged.eval()
