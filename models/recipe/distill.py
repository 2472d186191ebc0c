"""Teach the TCN what the encoder hears, on the same endless streams.

There is no way from these weights to a bundle yet: `export` and `bundle` know the encoder alone.
"""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from models.recipe.batches import Data
from models.recipe.network import FRAME, RECEPTIVE, Network
from models.recipe.sliding import slide
from models.recipe.tcn import CONTEXT, LOOK_AHEAD, MEL_HOP, STRIDE, Tcn, mel
from models.recipe.tokens import TOKENS
from models.recipe.train import ctc, halved, store

RATE = 2e-3
CTC_SHARE = 0.5
SAVE_EVERY_S = 60.0


def teacher_at(logits: Tensor, first_frame: int, student_frames: int) -> tuple[Tensor, slice]:
    """Bring the teacher's answers onto the student's clock.

    A student frame covers one or two teacher frames; of each sound the larger probability counts, and the
    blank gets what is left, so that no sound is lost between two clocks.

    Returns:
        Probabilities [B, S, tokens] and the student frames that they belong to.
    """
    probability = logits.float().softmax(-1)
    centre = (torch.arange(student_frames, device=logits.device) * STRIDE + CONTEXT - LOOK_AHEAD) * MEL_HOP
    position = (centre - RECEPTIVE / 2) / FRAME - first_frame
    inside = torch.nonzero((position >= 0) & (position < logits.shape[1] - 2)).flatten()
    low = position[inside].floor().long()
    sounds = torch.maximum(probability[:, low], probability[:, low + 1])[..., 1:]
    sounds = sounds / sounds.sum(-1, keepdim=True).clamp(min=1)
    blank = (1 - sounds.sum(-1, keepdim=True)).clamp(min=1e-6)
    return torch.cat([blank, sounds], dim=-1), slice(int(inside[0]), int(inside[-1]) + 1)


def distill(
    data: Data,
    teacher: Network,
    folder: Path,
    seconds: float,
    windows: int,
    assess: Callable[[Tcn], dict[str, float]] | None = None,
) -> Tcn:
    """Train a TCN for so many seconds; returns it with averaged weights.

    `averaged.pt` in `folder` has these each minute, as `weights.pt` will, so that a stop does not lose all.
    """
    device = data.device
    student = Tcn(len(TOKENS)).to(device)
    averaged = torch.optim.swa_utils.AveragedModel(
        student, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998), use_buffers=True
    )
    optimizer = torch.optim.AdamW(student.parameters(), lr=RATE, weight_decay=0.01)
    folder.mkdir(parents=True, exist_ok=True)
    step, began = 0, time.monotonic()
    noted = saved = began
    with (folder / "log.jsonl").open("w", encoding="utf-8") as log:
        while (progress := (time.monotonic() - began) / seconds) < 1:
            plan = data.planner.plan(step, windows, hop=40)
            streams, window = data.batch(plan), plan.window
            with torch.no_grad(), torch.autocast(device.type, torch.bfloat16):
                logits = slide(teacher, streams, window)
            bands = mel(streams)
            if step == 0:
                student.get_buffer("mean").copy_(bands.mean((0, 2)))
                student.get_buffer("deviation").copy_(bands.std((0, 2)))
            student.train()
            with torch.autocast(device.type, torch.bfloat16):
                answer = student(student.normalized(bands))[:, :, 0].transpose(1, 2)
            first = window.frames - window.look_ahead - 40
            wanted, part = teacher_at(logits, first, answer.shape[1])
            answer = answer[:, part]
            divergence = (
                functional.kl_div(answer.float().log_softmax(-1), wanted, reduction="none").sum(-1).mean()
            )
            loss = CTC_SHARE * ctc(answer, plan.said) + 5 * divergence
            for group in optimizer.param_groups:
                group["lr"] = (
                    RATE * min(1, step / 100) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(student.parameters(), 5.0)
            optimizer.step()
            averaged.update_parameters(student)
            step += 1
            if time.monotonic() - saved > SAVE_EVERY_S:
                store(halved(averaged.module), folder / "averaged.pt")
                saved = time.monotonic()
            if step % 100 == 0 or step == 1:
                entry = {
                    "step": step,
                    "seconds": round(time.monotonic() - began, 1),
                    "loss": round(loss.item(), 4),
                    "divergence": round(divergence.item(), 4),
                }
                if assess and time.monotonic() - noted > 60:
                    entry |= assess(cast(Tcn, averaged.module).eval())
                    noted = time.monotonic()
                print(json.dumps(entry), file=log, flush=True)
                print(entry, flush=True)
    return cast(Tcn, averaged.module).eval()
