import itertools
import os
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.audio.pcm import PcmPipe
from agent.audio.source import Frame
from tests.audio.blocks import noise


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    os.close(read)


def piped(data: bytes, lengths: list[int]) -> list[Frame]:
    read, write = os.pipe()

    def feed() -> None:
        rest = data
        for length in lengths:
            os.write(write, rest[:length])
            rest = rest[length:]
        while rest:
            rest = rest[os.write(write, rest) :]
        os.close(write)

    writer = threading.Thread(target=feed)
    writer.start()
    try:
        return list(PcmPipe(read).frames())
    finally:
        writer.join()
        os.close(read)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 9000), st.lists(st.integers(0, 999), max_size=30))
def test_what_goes_in_comes_out_however_it_was_written(length: int, lengths: list[int]) -> None:
    data = noise(1).tobytes()[:length]
    frames = piped(data, lengths)
    heard = np.concatenate([*(frame.samples for frame in frames), np.empty(0, np.int16)])
    whole = np.frombuffer(data[: length // 2 * 2], np.int16)
    assert np.array_equal(heard[: len(whole)], whole)
    assert not heard[len(whole) :].any()
    assert len(heard) - len(whole) in range(160)
    assert all(later.follows(earlier) for earlier, later in itertools.pairwise(frames))


def test_times_are_those_of_arrival(pipe: tuple[int, int]) -> None:
    read, write = pipe

    def speak() -> None:
        for _ in range(30):
            os.write(write, noise(0.01).tobytes())
            time.sleep(0.01)
        os.close(write)

    threading.Thread(target=speak).start()
    for frame in PcmPipe(read).frames():
        assert abs(time.monotonic() - frame.time_s - 0.01) < 0.5


def test_close_ends_it_though_nothing_comes(pipe: tuple[int, int]) -> None:
    source = PcmPipe(pipe[0])
    threading.Timer(0.1, source.close).start()
    assert list(source.frames()) == []
    os.close(pipe[1])
