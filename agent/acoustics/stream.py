"""From samples to log-probabilities: the model as a stateless window that slides over a stream.

Every hop, or sooner where asked (`hurry`), the engine hears the last window. Frames whose look-ahead is
filled are *committed*: each is given out exactly once, in order. Newer ones are *provisional*: the next run
gives them again, better. The last ones that were committed before are given again as *revised*: this window
hears them with more of what follows.
"""

from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.acoustics.engines.engine import Engine
from agent.acoustics.features import front_end
from agent.acoustics.manifest import Manifest
from agent.audio.levels import levels_at
from agent.audio.source import SAMPLE_RATE_HZ

GAP_TOLERANCE_S = 0.03
"""Block times may be off by this much before sound counts as lost."""
BACK_TOLERANCE_S = 0.5
"""Times may be corrected back by this much: no sound is lost by that, the first ones were too late."""
REVISED_S = 0.72
"""So long a frame is revised: with a hop of 0.24 s by three windows. One brings less, eleven no more."""
MOST_HURRY = 3
"""So many times as often as each hop the engine may run."""
CLOCK_TIME_CONSTANT_S = 10.0
"""How slowly frame times follow the drift between the sound card's clock and ours."""


@dataclass(frozen=True, slots=True)
class Frames:
    """Consecutive frames of log-probabilities."""

    log_probs: NDArray[np.float32]
    """Shape [n, tokens]."""
    times_s: NDArray[np.float64]
    """Shape [n]: monotonic time of each frame's centre."""

    def __len__(self) -> int:
        return len(self.times_s)


@dataclass(frozen=True, slots=True)
class Emission:
    """What one run of the engine tells."""

    committed: Frames
    provisional: Frames
    revised: Frames
    """The frames right before the committed ones, once more."""
    levels_dbfs: NDArray[np.float32]
    """Shape [committed frames]: how loud the sound is there, from a frame before to a frame after."""
    gap_s: float = 0.0
    """Jump of time before these frames: lost sound of up to one window reads as silence; after a longer jump,
    or one back in time (negative), the stream has started anew."""


class AcousticStream:
    """Turns samples of any block size into log-probabilities; what comes out does not depend on the blocks.

    Args:
        manifest: of the bundle that `engine` runs.
        engine: not closed by the stream.
    """

    def __init__(self, manifest: Manifest, engine: Engine) -> None:
        self.manifest, self._engine = manifest, engine
        self._front_end = front_end(manifest)
        self._pending_gap_s = 0.0
        self._start_s: float | None
        """Time of sample 0, None before the first block; follows the drift between the clocks."""
        self._restart()

    def push(self, samples: NDArray[np.int16], time_s: float) -> list[Emission]:
        """Hear more sound.

        Args:
            samples: shape [n], 16 kHz mono.
            time_s: monotonic time of the first one. A jump against the last block means that sound was lost.

        Returns:
            One emission per hop that became full, often none.

        Raises:
            EngineError: the engine failed. The stream may go on: frames that are still in the window at the
                next hop are given out then.
        """
        emissions: list[Emission] = []
        if self._start_s is None:
            self._start_s = time_s
        jump_s = time_s - self.end_s
        if -BACK_TOLERANCE_S <= jump_s <= GAP_TOLERANCE_S:
            self._start_s += jump_s * min(1.0, len(samples) / SAMPLE_RATE_HZ / CLOCK_TIME_CONSTANT_S)
        else:
            lost = round(jump_s * SAMPLE_RATE_HZ)
            if 0 < lost <= self.manifest.window_samples:
                self._pending_gap_s += jump_s
                emissions += self._feed(np.zeros(lost, np.int16))
            else:
                emissions += self.finish()
                self._start_s = time_s
                self._pending_gap_s += jump_s
        return emissions + self._feed(samples)

    def hurry(self, frames: int) -> Emission | None:
        """Run the engine once so many frames came since it ran, instead of when the hop is full.

        The next hop begins there. None while fewer came, or less than a third of a hop.

        Raises:
            EngineError: see `push`.
        """
        whole = len(self._waiting) // self.manifest.frame_samples
        samples = whole * self.manifest.frame_samples
        ready = whole >= frames and samples * MOST_HURRY >= self.manifest.hop_samples
        return self._hop(samples) if ready else None

    def copy(self) -> "AcousticStream":
        """Return an independent stream on the same engine that has heard the same."""
        other = copy(self)  # arrays are replaced, never changed in place
        other._front_end = self._front_end.copy()
        return other

    @property
    def end_s(self) -> float:
        """Time at which the next sample is expected; 0 before the first one."""
        return self._time_s(self._heard + len(self._waiting))

    def finish(self) -> list[Emission]:
        """End the stream: silence is appended until all its frames are committed. The next push starts anew.

        Raises:
            EngineError: the engine failed; the stream starts anew all the same.
        """
        end, emissions = self._heard + len(self._waiting), []
        try:
            while self._committed < end:
                emissions += self._feed(
                    np.zeros(max(0, self.manifest.hop_samples - len(self._waiting)), np.int16)
                )
        finally:
            self._restart()
        return emissions

    def _restart(self) -> None:
        self._front_end.reset()
        self._waiting = np.empty(0, np.int16)  # less than a hop
        self._window = np.zeros(self.manifest.window_samples, np.int16)
        self._heard = 0  # samples that the front end has had: where the window ends
        self._committed = 0  # frames with their centre before this sample were given out
        self._start_s = None

    def _time_s(self, sample: int) -> float:
        return (self._start_s or 0.0) + sample / SAMPLE_RATE_HZ

    def _feed(self, samples: NDArray[np.int16]) -> list[Emission]:
        self._waiting = np.concatenate((self._waiting, samples))
        emissions: list[Emission] = []
        while len(self._waiting) >= self.manifest.hop_samples:
            emissions.append(self._hop(self.manifest.hop_samples))
        return emissions

    def _hop(self, samples: int) -> Emission:
        hop, self._waiting = np.split(self._waiting, [samples])
        self._heard += samples
        self._window = np.concatenate((self._window, hop))[samples:]
        return self._run(self._front_end.push(hop))

    def _run(self, rows: NDArray[np.float32]) -> Emission:
        m = self.manifest
        logits = self._engine.run(rows)
        in_window = m.first_frame_samples + m.frame_samples * np.arange(m.frames)
        centres = self._heard - m.window_samples + in_window
        oldest, first = (int(at) for at in np.searchsorted(centres, (0, self._committed)))
        oldest = max(oldest, first - round(REVISED_S * SAMPLE_RATE_HZ / m.frame_samples))
        self._committed = max(self._committed, int(centres[m.usable_frames - 1]) + 1)
        gap_s, self._pending_gap_s = self._pending_gap_s, 0.0
        fresh = slice(first, m.usable_frames)
        return Emission(
            committed=self._frames(logits, centres, fresh),
            provisional=self._frames(logits, centres, slice(m.usable_frames, m.frames)),
            revised=self._frames(logits, centres, slice(oldest, first)),
            levels_dbfs=levels_at(self._window, in_window[fresh], m.frame_samples),
            gap_s=gap_s,
        )

    def _frames(self, logits: NDArray[np.float32], centres: NDArray[np.int64], part: slice) -> Frames:
        return Frames(log_softmax(logits[part]), self._time_s(0) + centres[part] / SAMPLE_RATE_HZ)


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return log-probabilities over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True, initial=-np.inf)
    result: NDArray[np.float32] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result
