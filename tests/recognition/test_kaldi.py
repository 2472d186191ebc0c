"""An independent decoder must find the same best path on the same graph and the same posteriors."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.recognition.decoder import Decoder, SearchLimits
from agent.recognition.network import build_network
from tests.recognition import kaldi
from tests.recognition.test_decoder import SENTENCES, log_softmax
from tests.recognition.toy import TOKENS, chain_graph

PENALTIES = {"blank_penalty": 3.0, "loop_penalty": 4.0, "entry_penalty": 1.0}


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), length=st.integers(4, 60))
def test_kaldi_finds_the_same_path(seed: int, length: int) -> None:
    network = build_network(chain_graph(SENTENCES))
    frames = log_softmax(np.random.default_rng(seed).normal(0, 3, (length, len(TOKENS))))
    decoder = Decoder(network, limits=SearchLimits(beam=1e6, margin=1e6, max_tokens=10**6), **PENALTIES)
    for frame in frames:
        decoder.step(frame)
    ours = decoder.states(next(decoder.finishes()).token)

    fst = kaldi.to_fst(network, PENALTIES["loop_penalty"], PENALTIES["entry_penalty"])
    theirs = kaldi.best_path(fst, kaldi.emissions(frames, PENALTIES["blank_penalty"]))
    assert theirs[-len(ours) :] == ours.tolist()
    assert all(state >= len(network.emission) for state in theirs[: -len(ours)])
