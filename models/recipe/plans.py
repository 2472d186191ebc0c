"""What a batch of training streams says and when, drawn before any sound is touched.

The model is used as a stateless window that slides over an endless stream, so it is trained as one: several
utterances of several speakers follow each other with gaps, in noise that never stops, after a window of
context that is not scored. Planning is Python that a fast device would wait for, so it may run ahead in other
processes; a plan depends on the seed and its number alone.
"""

import multiprocessing
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import count as numbers

import numpy as np

from agent.audio.source import SAMPLE_RATE_HZ
from models.recipe.network import FRAME, Window
from models.recipe.tokens import first_variant

TAPS = 4
"""Points of the cubic interpolator that changes speed."""
SCORED = 680
"""Frames scored per stream."""
HOPS, HOP_SHARES = (68, 40, 20), (0.45, 0.45, 0.1)
"""Frames by which the window moves in training; all divide SCORED. Long hops hear more speech in a batch,
short ones are nearer to use."""
SILENT = 0.06
"""Share of streams in which nobody speaks."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a clip at a place in a stream."""

    clip: int
    at: int
    """First sample in the stream."""
    length: int
    """Samples in the stream."""
    offset: int
    """First sample in the clip."""
    speed: float
    gain: float
    """Linear, on top of level normalization."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A batch of B streams, before it is heard."""

    window: Window
    """To slide over them."""
    samples: int
    """Of each stream."""
    speech: list[list[Piece]]
    said: list[list[int]]
    """Tokens in the scored part of each."""
    steady: list[list[Piece]]
    """Noise without gaps."""
    events: list[list[Piece]]
    """Noise now and then."""


class Planner:
    """Draws what each stream of a batch says, and when, and what noise is beside it."""

    def __init__(
        self,
        lengths: np.ndarray,
        labels: Sequence[Sequence[Sequence[Sequence[int]]]],
        weights: np.ndarray,
        noise_lengths: np.ndarray,
        noises: np.ndarray,
        seed: int,
    ) -> None:
        """Take what there is to hear.

        Args:
            lengths: samples of each clip of speech.
            labels: what each says: per word its pronunciations.
            weights: how often each is to be heard.
            noise_lengths: samples of each clip of noise.
            noises: which of these may be heard.
            seed: of all that is drawn.
        """
        self.lengths, self.labels, self.noise_lengths, self.noises = lengths, labels, noise_lengths, noises
        self.cumulative = np.cumsum(weights / weights.sum())
        self.seed = seed

    def plan(self, number: int, windows: int, hop: int | None = None) -> Plan:
        """Plan the batch of that number, the same each time; without `hop` it is drawn from `HOPS`."""
        rng = np.random.default_rng([self.seed, number])
        hop = hop or int(rng.choice(HOPS, p=HOP_SHARES))
        window = Window(hop=hop, look_ahead=int(rng.integers(4, 25)))
        per_stream = SCORED // hop
        count = max(1, windows // per_stream)
        samples = window.samples + (per_stream - 1) * hop * FRAME
        first = (window.frames - window.look_ahead - hop) * FRAME
        last = first + SCORED * FRAME - FRAME * 8
        plans: list[tuple[list[Piece], list[int]]] = [
            ([], [])
            if rng.random() < SILENT
            else self.stream(rng, max(0, first - 4 * FRAME), first + 2 * FRAME, last)
            for _ in range(count)
        ]
        steady, events = (
            [noise_track(self.noise_lengths, self.noises, samples, rng, gap_s) for _ in range(count)]
            for gap_s in (0.0, 6.0)
        )
        return Plan(
            window, samples, [pieces for pieces, _ in plans], [said for _, said in plans], steady, events
        )

    def draw(self, rng: np.random.Generator) -> int:
        """Draw a clip."""
        return int(np.searchsorted(self.cumulative, rng.random()).clip(0, len(self.labels) - 1))

    def stream(
        self, rng: np.random.Generator, unscored: int, first: int, last: int
    ) -> tuple[list[Piece], list[int]]:
        """Plan one stream.

        Utterances lie whole in [first, last); before `unscored` (samples) another may end, without a target.
        """
        pieces, target = [], []
        level = rng.normal(0, 2)
        if rng.random() < 0.5 and unscored > SAMPLE_RATE_HZ // 2:  # something was said before
            clip, speed = self.draw(rng), rng.uniform(0.87, 1.17)
            length = min(int(self.lengths[clip] / speed), unscored - int(rng.uniform(0, 0.5) * unscored))
            offset = max(0, int(self.lengths[clip] - (length + TAPS) * speed))
            pieces.append(Piece(clip, max(0, unscored - length), length, offset, speed, 10 ** (level / 20)))
        at = first + int(rng.exponential(0.4) * SAMPLE_RATE_HZ)
        for _ in range(30):
            clip = self.draw(rng)
            speed = 1.0 if rng.random() < 0.25 else rng.uniform(0.87, 1.17)
            length = int(self.lengths[clip] / speed) - TAPS
            if at + length >= last:
                if pieces and rng.random() < 0.3:
                    break
                continue
            pieces.append(Piece(clip, at, length, 0, speed, 10 ** ((level + rng.normal(0, 3)) / 20)))
            target += first_variant(self.labels[clip])
            at += length + int(rng.choice([rng.uniform(0.05, 0.4), rng.uniform(0.3, 3)]) * SAMPLE_RATE_HZ)
        return pieces, target


def noise_track(
    lengths: np.ndarray, candidates: np.ndarray, samples: int, rng: np.random.Generator, gap_s: float
) -> list[Piece]:
    """Plan noise: clips end to end, or with gaps of up to `gap_s` seconds between them."""
    pieces = []
    at = int(rng.uniform(0, gap_s) * SAMPLE_RATE_HZ)
    while at < samples:
        clip, speed = int(rng.choice(candidates)), rng.uniform(0.7, 1.4)
        length = min(int(lengths[clip] / speed) - TAPS, samples - at)
        if length < FRAME:
            break
        pieces.append(Piece(clip, at, length, 0, speed, 1.0))
        at += length + int(rng.uniform(0, gap_s) * SAMPLE_RATE_HZ)
    return pieces


def ahead(planner: Planner, first: int, windows: int, processes: int) -> Generator[Plan]:
    """Yield the plans from number `first` on, without end; with `processes`, these plan ahead."""
    if not processes:
        yield from (planner.plan(number, windows) for number in numbers(first))
        return
    context = multiprocessing.get_context("spawn")  # a fork would share the device's driver
    with ProcessPoolExecutor(processes, context, initializer=_begin, initargs=(planner,)) as pool:
        waiting: deque[Future[Plan]] = deque()
        for number in numbers(first):
            waiting.append(pool.submit(_plan, number, windows))
            if len(waiting) > 3 * processes:
                yield waiting.popleft().result()


_here: Planner
"""In a process that plans: the planner that it was given."""


def _begin(planner: Planner) -> None:
    global _here
    _here = planner


def _plan(number: int, windows: int) -> Plan:
    return _here.plan(number, windows)
