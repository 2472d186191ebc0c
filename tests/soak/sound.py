"""An operator who never tires: speaks commands and small talk into the agent's standard input."""

import json
import os
import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agent.audio.file import read_audio
from agent.audio.source import SAMPLE_RATE_HZ
from agent.grammar.schema import BUILTIN

BLOCK = SAMPLE_RATE_HZ // 10
BLOCK_S = 0.1
Mode = Literal["speech", "stopped", "repeating", "silent"]
TALK_SHARE = 0.25
ANSWER_AFTER_S = 2.0
"""Long enough for the station to ask, short enough to be an answer."""
_NEAR_MISSES = {"44", "45", "46", "47"}
"""Sentences one sound away from a command belong into an evaluation, not here."""


@dataclass(slots=True)
class Utterance:
    """Something that was said."""

    file: str
    kind: Literal["command", "answer", "talk"]
    command: str = ""
    slots: dict[str, object] = field(default_factory=dict)
    start_s: float = 0.0
    """Monotonic, as is `end_s`."""
    end_s: float = 0.0
    """Of the recording; speech ends up to 1.3 s before."""
    whole: bool = True
    """All of it was taken by the agent, in time."""


class Speaker:
    """Writes sound to a pipe as a converter does: in real time, and what is not taken is lost.

    Args:
        descriptor: the agent's standard input, not blocking.
        golden: folder with the recordings of commands and their labels.
        talk: more recordings, without any command.
        seed: of what is said when.

    """

    def __init__(self, descriptor: int, golden: Path, talk: list[Path], seed: int) -> None:
        self.spoken: list[Utterance] = []
        self.mode: Mode = "speech"
        """Anything else begins after the sentence that is being said."""
        self.mode_since_s = 0.0
        self.blocks_lost = 0
        self._descriptor = descriptor
        self._golden = golden
        labels = json.loads((golden / "labels.json").read_text())
        self._commands = {
            name: label for name, label in labels.items() if not label["command"].startswith(BUILTIN)
        }
        rejects = json.loads((golden / "rejects.json").read_text())
        self._talk = [golden / name for name in rejects if name[:2] not in _NEAR_MISSES] + talk
        self._draw = random.Random(seed)
        self._noise = np.random.default_rng(seed)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="speaker", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the current block."""
        self._stopping.set()
        self._thread.join(5)

    def _run(self) -> None:
        next_s = time.monotonic()
        for block, said in self._blocks():
            if self._stopping.is_set():
                return
            next_s += BLOCK_S
            time.sleep(max(0.0, next_s - time.monotonic()))
            if block is not None and not self._write(block) and said:
                said.whole = False

    def _blocks(self) -> Iterator[tuple[NDArray[np.int16] | None, Utterance | None]]:
        """Yield what is heard in each tenth of a second; None: nothing comes from the converter."""
        queue: deque[Utterance] = deque()
        loop = self._hiss(BLOCK)
        while True:
            mode = self.mode
            if mode != "speech":
                self.mode_since_s = self.mode_since_s or time.monotonic()
                yield {"stopped": None, "silent": np.zeros(BLOCK, np.int16)}.get(mode, loop), None
                continue
            self.mode_since_s = 0.0
            if not queue:
                queue.extend(self._choose())
            said = queue.popleft()
            pause_s = ANSWER_AFTER_S if said.kind == "answer" else self._draw.uniform(2.0, 5.0)
            for _ in range(round(pause_s / BLOCK_S)):
                yield self._hiss(BLOCK), None
            yield from self._say(said)

    def _say(self, said: Utterance) -> Iterator[tuple[NDArray[np.int16], Utterance]]:
        path = self._golden / said.file if "/" not in said.file else Path(said.file)
        speech = read_audio(path)
        speech = np.pad(speech, (0, -len(speech) % BLOCK))
        said.start_s = time.monotonic()
        said.end_s = said.start_s + len(speech) / SAMPLE_RATE_HZ
        said.file = path.name
        self.spoken.append(said)
        for block in speech.reshape(-1, BLOCK):
            yield np.clip(block + self._hiss(BLOCK), -32768, 32767).astype(np.int16), said

    def _choose(self) -> list[Utterance]:
        if self._draw.random() < TALK_SHARE:
            return [Utterance(str(self._draw.choice(self._talk)), "talk")]
        name = self._draw.choice(sorted(self._commands))
        label = self._commands[name]
        order = Utterance(name, "command", label["command"], label.get("slots", {}))
        if label["command"] != "move_axis":
            return [order]
        answer = self._draw.choice(["39-confirm.opus", "39-confirm.opus", "41-cancel.opus", ""])
        return [order, *([Utterance(answer, "answer", answer[3:-5])] if answer else [])]

    def _hiss(self, count: int) -> NDArray[np.int16]:
        return self._noise.normal(0, 3, count).astype(np.int16)  # -80 dBFS: no converter is without

    def _write(self, block: NDArray[np.int16]) -> bool:
        """Hand a block to the agent: whole, for it is shorter than PIPE_BUF, or not at all."""
        try:
            os.write(self._descriptor, block.tobytes())
        except BlockingIOError:
            self.blocks_lost += 1
            return False
        except BrokenPipeError:
            return False  # the agent has ended
        return True
