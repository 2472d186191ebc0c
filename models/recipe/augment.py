"""What happens to speech between mouth and model: rooms, noise, microphones; in batches, on any device."""

import torch
from torch import Tensor

from agent.audio.source import SAMPLE_RATE_HZ


def _uniform(count: int, low: float, high: float, device: torch.device) -> Tensor:
    return torch.empty(count, 1, device=device).uniform_(low, high)


def _chosen(count: int, probability: float, device: torch.device) -> Tensor:
    return torch.rand(count, 1, device=device) < probability


def level(x: Tensor) -> Tensor:
    """Return the rms of the louder fifth of 50 ms blocks, [B, 1]: the level of speech, not of its pauses."""
    blocks = x[:, : x.shape[1] // 800 * 800].unflatten(1, (-1, 800)).pow(2).mean(2)
    return blocks.topk(max(1, blocks.shape[1] // 5), dim=1).values.mean(1, keepdim=True).sqrt()


def filtered(x: Tensor, spectrum: Tensor) -> Tensor:
    """Multiply with one spectrum per stream, [B, padded / 2 + 1]; the tail beyond the stream is cut."""
    padded = 2 * (spectrum.shape[1] - 1)
    return torch.fft.irfft(torch.fft.rfft(x, padded) * spectrum, padded)[:, : x.shape[1]]


def room_spectra(rooms: Tensor, count: int, padded: int, probability: float) -> Tensor:
    """Draw a room per stream; where there is none, a flat spectrum."""
    device = rooms.device
    response = rooms[torch.randint(len(rooms), (count,), device=device)].float()
    dry = torch.zeros_like(response)
    dry[:, 0] = 1
    wet = torch.where(_chosen(count, 0.5, device), response, 0.5 * (response + dry))
    return torch.fft.rfft(torch.where(_chosen(count, probability, device), wet, dry), padded)


def microphone_spectra(count: int, padded: int, device: torch.device) -> Tensor:
    """Draw a microphone per stream: a tilt, bumps of a few dB, a low cut and sometimes a high cut."""
    frequency = torch.linspace(0, SAMPLE_RATE_HZ / 2, padded // 2 + 1, device=device)
    octave = (frequency.clamp(min=30) / 1000).log2()  # -5..3
    db = _uniform(count, -3, 3, device) * octave
    for _ in range(4):
        centre, width = _uniform(count, -4, 3, device), _uniform(count, 0.2, 1.5, device)
        db = db + _uniform(count, -7, 7, device) * torch.exp(-(((octave - centre) / width) ** 2))
    low = _uniform(count, 0.02, 0.35, device) * 1000
    db = db - 10 * torch.log10(1 + (low / frequency.clamp(min=1)) ** 4)
    high = torch.where(
        _chosen(count, 0.25, device),
        _uniform(count, 2800, 7000, device),
        torch.tensor(20_000.0, device=device),
    )
    db = db - 10 * torch.log10(1 + (frequency / high) ** 16)
    return torch.pow(10.0, db.clamp(-60, 30) / 20)


def mix(speech: Tensor, layers: list[Tensor], low_db: float, high_db: float, clean: float) -> Tensor:
    """Add noise layers at random ratios in dB; a layer is left out with probability `clean`.

    Streams without speech take their noise at the level that speech would have had.
    """
    count, device = len(speech), speech.device
    loud = level(speech)
    loud = torch.where(loud > 1e-4, loud, torch.full_like(loud, 0.05))
    out = speech
    for layer in layers:
        ratio = torch.where(
            _chosen(count, clean, device),
            _uniform(count, 45, 70, device),
            _uniform(count, low_db, high_db, device),
        )
        out = out + layer * loud / level(layer).clamp(min=1e-6) * torch.pow(10.0, -ratio / 20)
    hiss = torch.randn_like(out) * loud * torch.pow(10.0, -_uniform(count, 25, 75, device) / 20)
    return out + hiss


def capture(x: Tensor) -> Tensor:
    """Record: random gain over 45 dB, sometimes clipping, sometimes 8-bit companding, always 16-bit steps."""
    count, device = len(x), x.device
    x = x / x.abs().amax(1, keepdim=True).clamp(min=1e-6)
    over = torch.where(_chosen(count, 0.12, device), _uniform(count, 0, 15, device), 0.0)
    clipped = (x * torch.pow(10.0, over / 20)).clamp(-1, 1)
    gain = torch.pow(10.0, _uniform(count, -45, 0, device) / 20)
    companded = (
        clipped.sign() * torch.log1p(255 * clipped.abs()) / torch.log(torch.tensor(256.0, device=device))
    )
    companded = (companded * 127).round() / 127
    companded = companded.sign() * (torch.pow(256.0, companded.abs()) - 1) / 255
    x = torch.where(_chosen(count, 0.05, device), companded, clipped) * gain
    return (x * 32767).round() / 32768
