"""CTC Viterbi token passing over a compiled grammar, against a background that always competes.

A token is a partial sentence: the network state it stands in, its score in nats relative to the background's
best path, and a fingerprint of the slot values spoken so far. Each state keeps its best token and the best
one that *means something else*, so the margin to the runner-up command is exact and costs no second pass.
Scores are relative, tokens live at most `max_frames`, and history is a ring: hours of sound need no more
memory than one sentence. (Token passing: Young, Russell, Thornton 1989.)
"""

from collections import deque
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.recognition.background import BLANK, NOISE, Background
from agent.recognition.network import Network

_MIX = np.uint64(0x9E3779B97F4A7C15)
"""Odd constant of Fibonacci hashing: spreads fingerprints over 64 bits."""

MOST_CONTINUATIONS = 64
"""Sounds that are looked at to see how a sentence may go on; with more to come, it may go anywhere."""


@dataclass(frozen=True, slots=True)
class SearchLimits:
    """What the search may cost."""

    beam: float = 40.0
    """Tokens this many nats below the best (sentence or background) are dropped."""
    margin: float = 15.0
    """Runners-up further than this from the best token of their state are dropped."""
    max_tokens: int = 3000
    max_frames: int = 625
    """Longest sentence, in frames."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The A tokens alive after a frame."""

    state: NDArray[np.intp]
    score: NDArray[np.float32]
    meaning: NDArray[np.uint64]
    origin: NDArray[np.intp]
    """Index of the predecessor among the tokens of the frame before; -1 where the sentence begins."""
    age: NDArray[np.int32]
    """Frames since the sentence began."""
    quiet: NDArray[np.int32]
    """Frames since the last sound."""


@dataclass(frozen=True, slots=True)
class Finish:
    """A complete sentence, seen from the newest frame."""

    token: int
    """Index among the tokens of the newest frame."""
    score: float
    """Nats relative to the background."""
    quiet: int
    """Frames since its last sound."""
    age: int
    """Frames since it began."""


def _no_tokens() -> Tokens:
    return Tokens(
        state=np.empty(0, np.intp),
        score=np.empty(0, np.float32),
        meaning=np.empty(0, np.uint64),
        origin=np.empty(0, np.intp),
        age=np.empty(0, np.int32),
        quiet=np.empty(0, np.int32),
    )


class Decoder:
    """Streaming search. Not thread-safe; `copy` for looking ahead."""

    def __init__(
        self,
        network: Network,
        *,
        blank_penalty: float,
        loop_penalty: float,
        entry_penalty: float,
        limits: SearchLimits | None = None,
    ) -> None:
        self.network = network
        self.limits = limits or SearchLimits()
        self.background = Background(len(network.graph.tokens), loop_penalty)
        self._blank_penalty = np.float32(blank_penalty)
        self._entry_penalty = np.float32(entry_penalty)
        self.tokens = _no_tokens()
        self.history: deque[Tokens] = deque(maxlen=self.limits.max_frames)
        self.frames: deque[NDArray[np.float32]] = deque(maxlen=self.limits.max_frames)
        """Newest last, shape [V] each: log-probabilities as they came."""
        self._best = np.full(len(network.emission), -np.inf, np.float32)
        self._owner = np.zeros(len(network.emission), np.intp)

    def copy(self) -> "Decoder":
        """Return an independent copy. Tokens are never changed in place, so only the ring is copied."""
        other = copy(self)
        other.background = self.background.copy()
        other.history = self.history.copy()
        other.frames = self.frames.copy()
        return other

    def reset(self) -> None:
        """Drop every sentence begun so far; the background goes on."""
        self.tokens = _no_tokens()
        self.history.clear()
        self.background.sounds = 0

    def step(self, log_probs: NDArray[np.float32], *, may_begin: bool = True) -> None:
        """Take one frame.

        Args:
            log_probs: shape [V], natural logarithms.
            may_begin: False keeps new sentences from beginning here.
        """
        self.frames.append(log_probs.astype(np.float32))  # a copy: not the whole window stays in memory
        emissions = self.emissions(log_probs)
        begin_score = self.background.silence - self._entry_penalty if may_begin else np.float32(-np.inf)
        gained = self.background.step(emissions[:-1], emissions[-1])
        self.tokens = self._advance(emissions - gained, begin_score)
        self.history.append(self.tokens)

    def emissions(self, log_probs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the search gets for each sound, and last for resting: blank or noise.

        Sounds of foreign languages are ruled out and the blank penalty is taken off. All else is as it comes:
        only differences within a frame count.

        Args:
            log_probs: shape [..., V], natural logarithms.

        Returns:
            Shape [..., V + 1], nats.
        """
        heard = np.where(self.network.foreign, np.float32(-np.inf), log_probs)
        heard[..., BLANK] -= self._blank_penalty
        rest = np.maximum(heard[..., BLANK], heard[..., NOISE])
        return np.concatenate((heard, rest[..., None]), axis=-1)

    def _advance(self, emissions: NDArray[np.float32], begin_score: np.float32) -> Tokens:
        net, old = self.network, self.tokens
        state = np.append(old.state, net.start)
        score = np.append(old.score, begin_score).astype(np.float32, copy=False)

        # Every arc that leaves a living token is a candidate.
        fan = net.arcs_out[state]
        ends = np.cumsum(fan)
        source = np.repeat(np.arange(len(state)), fan)
        arc = np.arange(ends[-1]) + np.repeat(net.first_arc[state] - (ends - fan), fan)
        target = net.target[arc]
        candidate = score[source]
        meaning = np.append(old.meaning, np.uint64(0))[source]
        says = net.meaning[arc]
        speaks = np.flatnonzero(says)
        meaning[speaks] = (meaning[speaks] ^ says[speaks]) * _MIX

        first = self._best_per_state(target, candidate)
        leader = self._owner[target]
        rival = np.flatnonzero(
            (meaning != meaning[leader]) & (candidate > candidate[leader] - self.limits.margin)
        )
        chosen = first
        if len(rival):
            chosen = np.concatenate([first, rival[self._best_per_state(target[rival], candidate[rival])]])

        state = target[chosen]
        score = candidate[chosen] + emissions[net.emission[state]]
        age = np.append(old.age, 0).astype(np.int32)[source[chosen]] + np.int32(1)
        keep = self._survivors(score, age)
        chosen, state, score, age = chosen[keep], state[keep], score[keep], age[keep]
        source = source[chosen]
        begins = source == len(old.state)
        quiet = np.append(old.quiet, 0)[source] + 1
        quiet[net.emission[state] != net.rest] = 0
        return Tokens(
            state=state,
            score=score,
            meaning=meaning[chosen],
            origin=np.where(begins, -1, source),
            age=age,
            quiet=quiet.astype(np.int32),
        )

    def _best_per_state(self, target: NDArray[np.intp], candidate: NDArray[np.float32]) -> NDArray[np.intp]:
        """Return the index of the best candidate for each distinct target; ties go to the last one."""
        best, owner = self._best, self._owner
        np.maximum.at(best, target, candidate)
        index = np.arange(len(target))
        wins = candidate == best[target]
        owner[target[wins]] = index[wins]
        best[target] = -np.inf
        return np.flatnonzero(owner[target] == index)

    def _survivors(self, score: NDArray[np.float32], age: NDArray[np.int32]) -> NDArray[np.intp]:
        alive = np.isfinite(score) & (age <= self.limits.max_frames)
        if not alive.any():
            return np.empty(0, np.intp)
        floor = max(score[alive].max(), np.float32(0)) - self.limits.beam
        if len(score) > self.limits.max_tokens:
            floor = max(floor, np.partition(score, -self.limits.max_tokens)[-self.limits.max_tokens])
        return np.flatnonzero(alive & (score >= floor))

    def finishes(self) -> Iterator[Finish]:
        """Yield the complete sentences alive now, best first, one for each meaning."""
        tokens, command = self.tokens, self.network.command[self.tokens.state]
        ended = np.flatnonzero(command >= 0)
        meanings = set[tuple[int, int]]()
        for token in map(int, ended[np.argsort(-tokens.score[ended])]):
            meaning = int(command[token]), int(tokens.meaning[token])
            if meaning not in meanings:
                meanings.add(meaning)
                yield Finish(
                    token, float(tokens.score[token]), int(tokens.quiet[token]), int(tokens.age[token])
                )

    def unfinished(self, at_least: float) -> NDArray[np.intp]:
        """Return the tokens of sentences that can still go on, finished or not, with at least this score."""
        can = self.network.may_continue[self.tokens.state]
        return np.flatnonzero(can & (self.tokens.score >= at_least))

    def settled(self, finish: Finish, unfinished: NDArray[np.intp]) -> bool:
        """Tell whether whatever may still be said means what is said already: "ninety degrees [celsius]".

        Args:
            finish: what is said already.
            unfinished: tokens of the sentences that may go on.
        """
        graph, command = self.network.graph, self.network.command
        meant = graph.interpret(self.nodes(finish.token))
        paths = [self.nodes(token) for token in unfinished]
        for _ in range(MOST_CONTINUATIONS):
            if not paths:
                return True
            path = paths.pop()
            for node in self.network.after(path[-1]):
                longer = [*path, node]
                if command[2 * node] >= 0 and graph.interpret(longer) != meant:
                    return False
                paths.append(longer)
        return False

    def states(self, token: int) -> NDArray[np.intp]:
        """Return the network state of each frame of a token's sentence, oldest first, shape [age]."""
        path = []
        for tokens in reversed(self.history):
            path.append(tokens.state[token])
            token = tokens.origin[token]
            if token < 0:
                break
        return np.array(path[::-1], np.intp)

    def nodes(self, token: int) -> list[int]:
        """Return the graph nodes of a token's sentence, in order, each once."""
        visited = self.states(token) // 2
        return [int(node) for node in visited[np.diff(visited, prepend=-1) != 0]]
