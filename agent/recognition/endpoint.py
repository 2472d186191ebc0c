"""When is a sentence over? The grammar knows better than the silence does.

A sentence that can only end is over 160 ms after its last sound; one that may go on gets the time people
take between words, or half of it where nothing that can follow would change what it means. A begun sentence
that stays unfinished times out. What is spelled may be half of a number that people say in groups, "three
three one, oh one eight eight", so it gets as much time as half a sentence. Speech that no sentence fits is
over at the next pause. Silence is counted on the sentence's own path and on the background's: steady noise,
which neither takes for sounds, cannot hold an endpoint back, while somebody who speaks on after what might
have been a command does.
"""

from dataclasses import dataclass
from enum import Enum, auto

import numpy as np

from agent.grammar.slots import ends_spelled
from agent.recognition.decoder import Decoder, Finish


class Ending(Enum):
    """How an utterance ended."""

    COMPLETE = auto()
    """A sentence of the grammar is finished."""
    SPOKEN_ON = auto()
    """A sentence of the grammar is finished, but what was said went on: it was no command."""
    INCOMPLETE = auto()
    """A sentence began and stopped half way."""
    BACKGROUND = auto()
    """Somebody spoke, but no sentence."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in frames of the model."""

    final: int
    """After a sentence that can only end."""
    settled: int
    """After a sentence that may go on, where what is added would not change what it means."""
    may_continue: int
    """After a sentence that may go on."""
    incomplete: int
    """After half a sentence, and after spelled characters that may go on."""
    background: int
    """After speech that fits nothing."""

    @classmethod
    def for_frame(cls, frame_s: float) -> "Patience":
        """Return the waits for a model whose frames are `frame_s` seconds apart."""
        frames = [round(wait_s / frame_s) for wait_s in (0.16, 0.3, 0.6, 1.2, 0.6)]
        return cls(*(max(1, count) for count in frames))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An utterance that is over."""

    ending: Ending
    finish: Finish | None
    """Best complete sentence, if any survived."""
    quiet: int
    """Frames since the last sound."""


SLACK = 8.0
"""Nats that one missing sound costs. A sentence this far behind its own first half may be finished, since
people swallow last sounds; twice as far, its last word was wrong; further, it was never said."""


TIE = 2.0
"""Nats within which two readings are equally good: "forty" may be all of a number or its first half."""

BEGUN_SOUNDS = 5
"""A sentence has begun, for an operator, when so many sounds fit it better than the background."""


def find_endpoint(decoder: Decoder, patience: Patience) -> Endpoint | None:
    """Look at the newest frame: is an utterance over?"""
    tokens, background = decoder.tokens, decoder.background
    finish, behind = _best_finish(decoder)
    best = int(tokens.score.argmax()) if len(tokens.score) else None
    if finish and behind <= SLACK:
        if _frames_left(decoder, finish, patience) > 0:
            return None
        spoken_on = finish.quiet - background.quiet_frames > patience.final
        return Endpoint(Ending.SPOKEN_ON if spoken_on else Ending.COMPLETE, finish, finish.quiet)
    if best is not None and tokens.score[best] > BEGUN_SOUNDS * background.loop_penalty:
        if tokens.quiet[best] < patience.incomplete:
            return None
        ending = Ending.COMPLETE if behind <= 2 * SLACK else Ending.INCOMPLETE
        return Endpoint(ending, finish, int(tokens.quiet[best]))
    if background.sounds and background.quiet_frames >= patience.background:
        return Endpoint(Ending.BACKGROUND, finish, background.quiet_frames)
    return None


def frames_left(decoder: Decoder, patience: Patience) -> int | None:
    """Return how many more frames without a sound may end the sentence that is finished; None: none is."""
    finish, behind = _best_finish(decoder)
    return _frames_left(decoder, finish, patience) if finish and behind <= SLACK else None


def _best_finish(decoder: Decoder) -> tuple[Finish | None, float]:
    """Return the best finished sentence, and how far it is behind the best unfinished one, nats."""
    finish = next(decoder.finishes(), None)
    if finish is None or finish.score <= 0:
        return finish, np.inf
    return finish, float(decoder.tokens.score.max()) - finish.score


def _frames_left(decoder: Decoder, finish: Finish, patience: Patience) -> int:
    return _wait_after(decoder, finish, patience) - min(finish.quiet, decoder.background.quiet_frames)


def _wait_after(decoder: Decoder, finish: Finish, patience: Patience) -> int:
    unfinished = decoder.unfinished(finish.score - TIE)
    if not len(unfinished):
        return patience.final
    if finish.quiet < patience.settled:
        return patience.settled
    # what follows is looked at only where it matters: between the two waits
    if finish.quiet < patience.may_continue and decoder.settled(finish, unfinished):
        return patience.settled
    spelled = ends_spelled(decoder.network.graph, decoder.nodes(finish.token))
    return patience.incomplete if spelled else patience.may_continue
