"""The same search by Kaldi: our network and the free loop as one weighted FST, for its FasterDecoder."""

import kaldi_decoder
import kaldifst
import numpy as np
from numpy.typing import NDArray

from agent.recognition.background import NOISE
from agent.recognition.network import Network


def to_fst(network: Network, loop_penalty: float, entry_penalty: float) -> kaldifst.StdVectorFst:
    """Build the FST. An arc consumes the emission of the state it enters; its output tells that state."""
    fst = kaldifst.StdVectorFst()
    states, rest = len(network.emission), network.rest
    sounds = range(NOISE + 1, rest)
    silence, first_sound = states, states + 1
    for _ in range(states + 1 + len(sounds)):
        fst.add_state()
    fst.start = silence

    def arc(source: int, target: int, emission: int, weight: float) -> None:
        fst.add_arc(source, kaldifst.StdArc(emission + 1, target + 1, weight, target))

    for source in range(states - 1):
        for index in range(network.first_arc[source], network.first_arc[source] + network.arcs_out[source]):
            target = int(network.target[index])
            arc(source, target, int(network.emission[target]), 0.0)
        if network.command[source] >= 0:
            fst.set_final(source, 0.0)
    for target in network.target[network.first_arc[network.start] :]:
        arc(silence, int(target), int(network.emission[target]), entry_penalty)
    # Every sound can follow every other by way of a hub would need epsilons; arcs between all pairs do not.
    for offset, sound in enumerate(sounds):
        loop = first_sound + offset
        arc(silence, loop, sound, loop_penalty)
        arc(loop, loop, sound, 0.0)
        arc(loop, silence, rest, 0.0)
        for other, other_sound in enumerate(sounds):
            if other != offset:
                arc(loop, first_sound + other, other_sound, loop_penalty)
    arc(silence, silence, rest, 0.0)
    return fst


def emissions(log_probs: NDArray[np.float32], blank_penalty: float) -> NDArray[np.float32]:
    """Return [T, V + 1]: what our decoder makes of [T, V] before it searches."""
    frames = log_probs.copy()
    frames[:, 0] -= blank_penalty
    return np.column_stack([frames, frames[:, : NOISE + 1].max(axis=1)])


def best_path(fst: kaldifst.StdVectorFst, frames: NDArray[np.float32], beam: float = 1e6) -> list[int]:
    """Return the state entered at each frame on the best path that ends in a complete sentence."""
    options = kaldi_decoder.FasterDecoderOptions(beam=beam, max_active=2**30)
    decoder = kaldi_decoder.FasterDecoder(fst, options)
    decoder.decode(kaldi_decoder.DecodableCtc(frames))
    assert decoder.reached_final()
    _, path = decoder.get_best_path()
    _, _, outputs, _ = kaldifst.get_linear_symbol_sequence(path)
    return [output - 1 for output in outputs]
