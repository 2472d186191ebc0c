"""Could one sound of a sentence have been another? The test that tells "press" from "dress".

In the place of each sound of the path that was found every other sound is tried, and none at all, while the
rest of the sentence stays: what the likelihood gains by it speaks against that sound. A mean over words hides
one wrong sound among seven right ones; this does not. It is the goodness of pronunciation of Witt and Young
(Speech Communication 30, 2000) over all of CTC's paths instead of one alignment (Cao et al., "A Framework
for Phoneme-Level Pronunciation Assessment Using CTC", Interspeech 2024), with maxima for sums.
"""

import numpy as np
from numpy.typing import NDArray

LONGEST = 40
"""Frames around a sound in which its changes are tried."""
_NEVER = np.float32(-1e9)
_Array = NDArray[np.float32]


def swap_gains(
    frames: _Array, sounds: NDArray[np.intp], firsts: NDArray[np.intp], others: NDArray[np.intp]
) -> _Array:
    """Return by how many nats a sentence fits better with each change of each of its sounds.

    Args:
        frames: shape [T, V + 1], as `Decoder.emissions` returns: of the sentence and a little around it.
        sounds: shape [N], the sentence's sounds as tokens.
        firsts: shape [N], frame in which each begins on the best path.
        others: shape [K], tokens that may stand in a sound's place.

    Returns:
        Shape [N, K + 1]: with each other sound in the place of each sound, and last without that sound; 0 or
        less where the change does not fit better.
    """
    loss = frames - frames.max(axis=1, keepdims=True)
    rest, own, other = loss[:, -1], loss[:, sounds], loss[:, others]
    sounding, resting = _before(own, rest, sounds)
    after = _after(own, rest, sounds)
    unchanged = after[:, 0].max()

    # Without a sound: from the one before straight to the one after.
    joins = np.append(-1, sounds[:-1]) != np.append(sounds[1:], -2)
    left_out = np.maximum(resting[:, :-1], np.where(joins, sounding[:, :-1], _NEVER)) + after[:, 1:]

    # Another sound: for all places and all others at once, frame by frame through a stretch about the place.
    count, last = len(sounds), len(frames) - 1
    start = np.append(max(0, firsts[0] - LONGEST // 4), firsts[:-1])
    stop = np.minimum(np.append(firsts, (last + 1, last + 1))[2:], start + LONGEST)
    place = np.arange(count)
    follows = np.append(-1, sounds[:-1])[:, None] != others
    precedes = np.append(sounds[1:], -1)[:, None] != others
    said = np.full((count, len(others)), _NEVER)
    rested, changed = said.copy(), said.copy()
    for at in range(int((stop - start).max())):
        t = np.minimum(start + at, last)
        enter = np.maximum(np.where(follows, sounding[t, place][:, None], _NEVER), resting[t, place][:, None])
        rested = np.maximum(rested, said) + rest[t][:, None]
        said = np.maximum(said, enter) + other[t]
        leave = np.maximum(np.where(precedes, said, _NEVER), rested) + after[t + 1, place + 1][:, None]
        changed = np.where((start + at < stop)[:, None], np.maximum(changed, leave), changed)
    changed[sounds[:, None] == others] = unchanged
    gains: _Array = np.column_stack([changed, left_out.max(axis=0)]) - unchanged
    return gains


def _before(own: _Array, rest: _Array, sounds: NDArray[np.intp]) -> tuple[_Array, _Array]:
    """Best scores [T + 1, N + 1] of t frames that end sounding or resting in sound i - 1; 0: none yet."""
    frames, count = own.shape
    sounding = np.full((frames + 1, count + 1), _NEVER)
    resting = sounding.copy()
    sounding[:, 0] = resting[:, 0] = 0
    joins = np.append(True, sounds[1:] != sounds[:-1])  # the same sound twice needs a rest between
    for t in range(frames):
        enter = np.maximum(np.where(joins, sounding[t, :-1], _NEVER), resting[t, :-1])
        sounding[t + 1, 1:] = np.maximum(sounding[t, 1:], enter) + own[t]
        resting[t + 1, 1:] = np.maximum(sounding[t, 1:], resting[t, 1:]) + rest[t]
    return sounding, resting


def _after(own: _Array, rest: _Array, sounds: NDArray[np.intp]) -> _Array:
    """Best scores [T + 1, N + 1] of the frames from t on, of which the first sounds i; N: all said, free."""
    frames, count = own.shape
    sounding = np.full((frames + 1, count + 1), _NEVER)
    sounding[:, -1] = 0
    resting = np.full(count, _NEVER)
    joins = np.append(sounds[1:] != sounds[:-1], True)
    for t in range(frames - 1, -1, -1):
        enter = sounding[t + 1, 1:]
        said = np.maximum.reduce([sounding[t + 1, :-1], resting, np.where(joins, enter, _NEVER)]) + own[t]
        resting = np.maximum(resting, enter) + rest[t]
        sounding[t, :-1] = said
    return sounding
