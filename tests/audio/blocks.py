"""Cutting sound into blocks in every way: what is streamed must not depend on it."""

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.audio.source import FRAME_S, Frame


def cuts() -> st.SearchStrategy[list[int]]:
    """Lengths of blocks; after the last one comes the rest."""
    return st.lists(st.integers(0, 700), max_size=30)


def blocks_of(samples: NDArray[np.int16], lengths: Sequence[int]) -> list[NDArray[np.int16]]:
    """Cut as told."""
    return np.split(samples, np.minimum(np.cumsum(lengths), len(samples))) if lengths else [samples]


def follows(frame: Frame, previous: Frame) -> bool:
    """Whether no sound was lost between them; clock corrections stay below 1 ms."""
    return abs(frame.time_s - previous.time_s - FRAME_S) < FRAME_S / 2


def noise(seconds: float, level: float = 1000.0, seed: int = 0) -> NDArray[np.int16]:
    """White noise of this RMS."""
    drawn = np.random.default_rng(seed).standard_normal(round(16_000 * seconds)) * level
    return np.clip(np.rint(drawn), -32768, 32767).astype(np.int16)
