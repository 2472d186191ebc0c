"""End-to-end training on the device at hand, resumable."""

import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from agent.durable import replacing
from models.recipe.batches import Data
from models.recipe.ctc import losses
from models.recipe.network import Network
from models.recipe.plans import Plan, ahead
from models.recipe.sliding import slide
from models.recipe.tokens import TOKENS

Assess = Callable[[Network], dict[str, float]]
"""Tells how well a network hears; its figures go into the log."""
LOG_EVERY = 100
"""Steps."""
JUDGE_EVERY_S = 90.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What a training run does."""

    steps: int = 2000
    seconds: float = math.inf
    """Time budget: the schedule follows steps or time, whichever is further."""
    windows: int = 1360
    """Windows in a batch; 10, 17 or 34 are of one stream, as the hop is (`plans.HOPS`)."""
    planners: int = 0
    """Processes that plan batches ahead; 0: between the steps."""
    encoder_rate: float = 3e-4
    head_rate: float = 1e-3
    frozen_share: float = 0.05
    """Share of the run in which the encoder rests while the head learns."""
    warmup_share: float = 0.03
    average: float = 0.998
    """Decay of the averaged weights, per step."""
    save_every_s: float = 60.0
    compile: bool = False


class Learner:
    """A network that learns, the running average of its weights, and what is needed to go on after a stop."""

    def __init__(
        self, start: dict[str, Tensor], checkpoint: Path, settings: Settings, device: torch.device
    ) -> None:
        """Begin with `start` (weights of the encoder or the whole network) or where the checkpoint ended."""
        self.settings, self.checkpoint, self.device = settings, checkpoint, device
        self.network, self.averaged = (Network(len(TOKENS)).to(device) for _ in range(2))
        self.network.load_state_dict(start, strict=False)
        self.averaged.load_state_dict(self.network.state_dict())
        self.head_is_new = "head.out.weight" not in start
        self.optimizer = torch.optim.AdamW(
            [
                {"params": list(self.network.encoder.parameters()), "peak": settings.encoder_rate},
                {"params": list(self.network.head.parameters()), "peak": settings.head_rate},
            ],
            lr=0.0,
            betas=(0.9, 0.98),
            weight_decay=0.01,
            fused=device.type == "cuda",
        )
        self.step_count, self.spent = 0, 0.0
        if checkpoint.exists():
            state = torch.load(checkpoint, map_location=device, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.averaged.load_state_dict(state["averaged"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step_count, self.spent = state["step"], state["spent"]
        self.forward = torch.compile(self.network) if settings.compile else self.network

    def save(self, spent: float) -> None:
        """Write the checkpoint, whole or not at all."""
        state = {
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step_count,
            "spent": spent,
        }
        store(state, self.checkpoint)

    def step(self, data: Data, plan: Plan, progress: float) -> Tensor:
        """Learn from one batch; return its loss."""
        self.network.train()
        self.network.encoder.requires_grad_(not (self.head_is_new and progress < self.settings.frozen_share))
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * rate(progress, self.settings)
        streams = data.batch(plan)
        with torch.autocast(self.device.type, torch.bfloat16):
            logits = slide(self.forward, streams, plan.window)
        loss = ctc(logits, plan.said)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.step_count += 1
        decay = min(self.settings.average, (self.step_count + 1) / (self.step_count + 20))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.averaged.parameters()), list(self.network.parameters()), 1 - decay)
        return loss.detach()


def store(state: Mapping[str, object], path: Path) -> None:
    """Write weights and the like, whole or not at all."""
    with replacing(path) as file:
        torch.save(state, file)


def halved(network: nn.Module) -> dict[str, Tensor]:
    """Return a network's weights in float16, as they are kept."""
    return {name: v.half() if v.is_floating_point() else v for name, v in network.state_dict().items()}


def ctc(logits: Tensor, targets: list[list[int]]) -> Tensor:
    """Return the CTC loss per token of a batch, a scalar, logits [B, T, tokens]."""
    logp = logits.float().log_softmax(-1)
    loss = losses(logp, [logits.shape[1]] * len(targets), targets)
    return loss.sum() / max(1, sum(len(target) for target in targets))


def rate(progress: float, settings: Settings) -> float:
    """Return the learning rate at a share of the run, as a share of its peak: warm up, then a cosine."""
    if progress < settings.warmup_share:
        return progress / settings.warmup_share
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def train(
    data: Data, start: dict[str, Tensor], folder: Path, settings: Settings, assess: Assess | None = None
) -> Network:
    """Train from `start` (weights of the encoder or of the whole network); return the averaged network.

    The state is saved in `folder` every minute and taken up again from there; `log.jsonl` tells how it went.
    """
    folder.mkdir(parents=True, exist_ok=True)
    learner = Learner(start, folder / "checkpoint.pt", settings, data.device)
    began = saved = noted = time.monotonic() - learner.spent
    total = torch.zeros((), device=data.device)
    plans = ahead(data.planner, learner.step_count, settings.windows, settings.planners)
    with (folder / "log.jsonl").open("a", encoding="utf-8") as log, closing(plans):
        while True:
            now = time.monotonic()
            progress = max(learner.step_count / settings.steps, (now - began) / settings.seconds)
            if progress >= 1 or now - saved > settings.save_every_s:
                learner.save(now - began)
                saved = now
            if progress >= 1:
                return learner.averaged.eval()
            total += learner.step(data, next(plans), progress)
            if learner.step_count % LOG_EVERY == 0:
                entry: dict[str, float] = {
                    "step": learner.step_count,
                    "seconds": round(now - began, 1),
                    "progress": round(progress, 4),
                    "loss": round(float(total) / LOG_EVERY, 4),
                }
                total.zero_()
                if assess and now - noted > JUDGE_EVERY_S:
                    entry |= assess(learner.averaged.eval())
                    noted = time.monotonic()
                print(json.dumps(entry), file=log, flush=True)
                print(entry, flush=True)
