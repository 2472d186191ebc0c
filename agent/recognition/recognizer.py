"""Frames of log-probabilities in, hypotheses out: the pure middle of Voxline.

Time enters as an argument, so a recording sent in from a plant is heard exactly as the microphone was.
"""

import math
from collections.abc import Collection, Iterator, Mapping
from copy import copy

import numpy as np
from numpy.typing import NDArray

from agent.acoustics.manifest import Calibration
from agent.acoustics.stream import REVISED_S, Emission, Frames
from agent.errors import BundleError
from agent.grammar.graph import Graph
from agent.recognition.confidence import (
    EVIDENCE,
    WordFit,
    fit_words,
    foreign,
    objection,
    probability,
    uncertainty,
)
from agent.recognition.decoder import Decoder, Finish
from agent.recognition.endpoint import Ending, Endpoint, Patience, find_endpoint, frames_left
from agent.recognition.hindsight import Hindsight
from agent.recognition.hypothesis import Alternative, HeardWord, Hypothesis, Reject
from agent.recognition.network import build_network
from agent.recognition.talk import Talk

DOUBT_NATS = 2.0
"""A runner-up so far behind still leaves a third of the doubt that an equal one leaves."""
MIN_SECONDS_PER_SOUND = 0.028
"""Nobody speaks faster; a sentence squeezed below this was found in a noise."""
MIN_SOUNDS = 3
"""Fewer sounds than this that fit nothing are a click, not speech, and pass in silence."""
LONGEST_GAP_S = 0.5
"""Sound that is missing from the stream for longer ends what was being said."""
LEAD_S = 0.2
"""A command follows a pause; speech running into it from before speaks against it."""
_NO_COMMAND = {
    Ending.SPOKEN_ON: Reject.BACKGROUND,
    Ending.INCOMPLETE: Reject.INCOMPLETE,
    Ending.BACKGROUND: Reject.BACKGROUND,
}
"""Why nothing that ends so is a command."""


class Recognizer:
    """Listens for the sentences of one grammar. Not thread-safe.

    Raises:
        BundleError: the calibration judges by evidence that this agent does not gather.
    """

    def __init__(self, graph: Graph, calibration: Calibration, frame_s: float) -> None:
        if unknown := calibration.weights.keys() - EVIDENCE - {"bias"}:
            raise BundleError(
                f"the bundle judges by {', '.join(sorted(unknown))}, which this agent does not know: "
                "install a newer agent, or an older bundle"
            )
        self.graph = graph
        self.calibration = calibration
        self.frame_s = frame_s
        self._patience = Patience.for_frame(frame_s)
        self._decoder = Decoder(
            build_network(graph),
            blank_penalty=calibration.blank_penalty,
            loop_penalty=calibration.loop_penalty,
            entry_penalty=calibration.entry_penalty,
        )
        self._hindsight = Hindsight(len(graph.tokens), round(REVISED_S / frame_s))
        self._settled = self._decoder.copy()
        """Has heard the frames that no window revises any more: it stands `REVISED_S` behind."""
        self._talk = Talk(frame_s, calibration.blank_penalty)
        self._last_s = -np.inf
        self._deaf_until_s = -np.inf
        """Sound before this belongs to an utterance that has been reported."""
        self.frames_left: int | None = None
        """After so many more without a sound what was said is over; None: no sentence is finished."""

    @property
    def idle(self) -> bool:
        """Whether no sentence fits better than the background now."""
        score = self._decoder.tokens.score
        return not len(score) or float(score.max()) <= 0

    @property
    def foreign(self) -> NDArray[np.bool_]:
        """Shape [V]: sounds that go unheard, being of a language that the grammar does not speak."""
        return self._decoder.network.foreign

    def succeed(self, other: "Recognizer") -> None:
        """Go on after another recognizer: what it has reported is not heard again."""
        self._deaf_until_s = other._deaf_until_s
        self._talk.succeed(other._talk)

    @property
    def beam(self) -> tuple[float, int]:
        """How far behind the best a partial sentence is dropped, nats; how many are alive now."""
        return self._decoder.limits.beam, len(self._decoder.tokens.score)

    def copy(self) -> "Recognizer":
        """Return an independent one that has heard the same."""
        other = copy(self)
        other._decoder = self._decoder.copy()
        other._hindsight = self._hindsight.copy()
        other._settled = self._settled.copy()
        other._talk = self._talk.copy()
        return other

    def enable(self, commands: Collection[str]) -> None:
        """Let only these commands be said from now on; half-heard sentences are dropped."""
        self._decoder.network = self._settled.network = build_network(self.graph, commands)
        self._drop()

    def push(self, heard: Emission) -> list[Hypothesis]:
        """Take one hop of frames and return the utterances that ended in it, in order."""
        hypotheses = []
        times_s = heard.committed.times_s
        if len(times_s):
            if not 0 < times_s[0] - self._last_s <= LONGEST_GAP_S:
                self._drop()  # words before and after lost sound are not one sentence
                self._hindsight.clear()
            self._last_s = float(times_s[-1])
        self._talk.push(heard)
        self._search(self._settled, self._hindsight.push(heard))
        for newest, (frame, time_s) in enumerate(_timed_frames(heard.committed), start=1 - len(times_s)):
            reported = time_s <= self._deaf_until_s
            self._decoder.step(frame, may_begin=not reported)
            if reported:
                self._decoder.background.sounds = 0
            endpoint = find_endpoint(self._decoder, self._patience)
            if endpoint:
                hypothesis = self._describe(self._decoder, endpoint, time_s, newest)
                if hypothesis:
                    hypotheses.append(hypothesis)
                self._finish(time_s - endpoint.quiet * self.frame_s)
        early = self._look_ahead(heard.provisional)
        if early:
            hypotheses.append(early)
            self._finish(early.end_s)
        for hypothesis in hypotheses:
            if hypothesis.reject is None:
                self._talk.forget(hypothesis.end_s)
        return hypotheses

    def _finish(self, end_s: float) -> None:
        self._deaf_until_s = end_s
        self._drop()

    def _drop(self) -> None:
        """Drop every sentence begun so far."""
        self.frames_left = None
        self._decoder.reset()
        self._settled.reset()

    def _look_ahead(self, provisional: Frames) -> Hypothesis | None:
        """End a sentence early where the provisional frames are already sure of it."""
        self.frames_left = None
        if self.idle:
            return None
        ahead = self._decoder.copy()
        for newest, (frame, time_s) in enumerate(_timed_frames(provisional), start=1):
            ahead.step(frame, may_begin=False)
            endpoint = find_endpoint(ahead, self._patience)
            if endpoint:
                hypothesis = self._describe(ahead, endpoint, time_s, newest)
                return hypothesis if hypothesis and hypothesis.reject is None else None
        self.frames_left = frames_left(ahead, self._patience)
        return None

    def _describe(
        self, decoder: Decoder, endpoint: Endpoint, time_s: float, newest: int
    ) -> Hypothesis | None:
        end_s = time_s - (endpoint.quiet - 1) * self.frame_s
        if endpoint.ending is Ending.BACKGROUND and decoder.background.sounds < MIN_SOUNDS:
            return None
        if endpoint.finish is None:
            reject = _NO_COMMAND[endpoint.ending]
            return Hypothesis(start_s=end_s, end_s=end_s, snr_db=None, reject=reject)
        if endpoint.ending is not Ending.COMPLETE:
            return self._weigh(decoder, endpoint.ending, endpoint.finish, time_s)
        again = self._hear_again(newest)
        finish = next(again.finishes(), None)
        if finish is None or finish.score <= 0:
            return Hypothesis(start_s=end_s, end_s=end_s, snr_db=None, reject=Reject.BACKGROUND)
        return self._weigh(again, endpoint.ending, finish, time_s)

    def _hear_again(self, newest: int) -> Decoder:
        """Search what was said as all windows together heard it, up to a frame as in `Hindsight.open`."""
        again = self._settled.copy()
        self._search(again, self._hindsight.open(newest))
        return again

    def _search(self, decoder: Decoder, frames: Frames) -> None:
        for frame, time_s in _timed_frames(frames):
            decoder.step(frame, may_begin=time_s > self._deaf_until_s)

    def _weigh(self, decoder: Decoder, ending: Ending, finish: Finish, time_s: float) -> Hypothesis:
        states = decoder.states(finish.token)
        frames = np.array(decoder.frames)
        emissions = decoder.emissions(frames)
        heard = fit_words(decoder.network, states, emissions)
        nodes = decoder.nodes(finish.token)
        meaning = self.graph.interpret(nodes)
        rival, margin = self._runner_up(decoder, meaning.command, meaning.slots, finish)
        start_s = time_s - (finish.age - 1) * self.frame_s
        end_s = start_s + heard[-1].end_frame * self.frame_s
        sounds = int((np.diff(states // 2, prepend=-1) != 0).sum())
        lead = emissions[: -finish.age][-round(LEAD_S / self.frame_s) :]
        said = frames[-len(states) :]
        deciding = [word for word in heard if not word.carrier]
        worst = min(deciding, key=lambda word: word.score)
        evidence = {
            "worst_word": worst.score,
            "next_worst_word": min((word.score for word in heard if word is not worst), default=0.0),
            "other_word": min(word.other_word for word in deciding),
            "doubt": 0.0 if margin is None else math.exp(-margin / DOUBT_NATS),
            "gain_per_sound": finish.score / sounds,
            "sounds": min(sounds, 40) / 10,
            "lead": float((lead[:, :-1].argmax(axis=1) > 1).mean()) if len(lead) else 0.0,
            "uncertainty": uncertainty(said[:, ~self.foreign]),
            "talk_before": self._talk.before(start_s, end_s),
            "foreign": foreign(said[:, self.foreign]),
            "mandarin": float(decoder.network.pinyin[self.graph.label[nodes]].mean()),
        }
        sure = probability(evidence, self.calibration.weights)
        no_sentence = _no_sentence(ending, (end_s - start_s) / sounds)
        return Hypothesis(
            start_s=start_s,
            end_s=end_s,
            snr_db=None,
            command=meaning.command,
            slots=meaning.slots,
            words=tuple(self._timed(word, start_s) for word in heard),
            evidence=evidence,
            probability=sure,
            margin=margin,
            runner_up=rival,
            reject=no_sentence or objection(evidence, margin, sure, self.calibration),
        )

    def _timed(self, word: WordFit, start_s: float) -> HeardWord:
        return HeardWord(
            text=word.text,
            start_s=start_s + word.first_frame * self.frame_s,
            end_s=start_s + word.end_frame * self.frame_s,
            score=word.score,
            sounds=word.sounds,
            likelier=word.likelier,
            carrier=word.carrier,
        )

    def _runner_up(
        self, decoder: Decoder, command: str, slots: Mapping[str, object], finish: Finish
    ) -> tuple[Alternative | None, float | None]:
        for other in decoder.finishes():
            if other.token == finish.token:
                continue
            meaning = self.graph.interpret(decoder.nodes(other.token))
            if (meaning.command, meaning.slots) != (command, slots):
                return Alternative(meaning.command, meaning.slots), finish.score - other.score
        return None, None


def _no_sentence(ending: Ending, seconds_per_sound: float) -> Reject | None:
    """Return why nobody can have said this as a whole sentence, however well it fits."""
    too_short = Reject.TOO_SHORT if seconds_per_sound < MIN_SECONDS_PER_SOUND else None
    return _NO_COMMAND.get(ending, too_short)


def _timed_frames(frames: Frames) -> Iterator[tuple[NDArray[np.float32], float]]:
    return zip(frames.log_probs, map(float, frames.times_s), strict=True)
