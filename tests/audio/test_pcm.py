import fcntl
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
from tests.audio.blocks import follows, noise


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
    assert all(follows(later, earlier) for earlier, later in itertools.pairwise(frames))


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


def test_what_waited_in_the_pipe_is_as_old_as_it_is(pipe: tuple[int, int]) -> None:
    """A station that stood still must not take what it hears then for fresh, however long that was."""
    read, write = pipe
    room = fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 16_384)
    assert room == 16_384
    os.set_blocking(write, False)
    source = PcmPipe(read)
    frames = source.frames()
    os.write(write, noise(0.1).tobytes())
    first = [next(frames) for _ in range(10)]
    assert os.write(write, noise(2.0).tobytes()) == room  # the rest is lost: nobody takes it
    time.sleep(1.5)
    old = [next(frames) for _ in range(30)]
    assert all(follows(later, earlier) for earlier, later in itertools.pairwise([*first, *old]))
    assert old[-1].time_s < time.monotonic() - 1.0
    os.close(write)
    rest = list(frames)
    assert rest[-1].time_s > time.monotonic() - 1.0, "what comes last is dated by its arrival"
    assert source.overruns == 1


def test_lost_sound_is_counted(pipe: tuple[int, int]) -> None:
    read, write = pipe
    source = PcmPipe(read)
    frames = source.frames()
    os.write(write, noise(0.2).tobytes())
    first = [next(frames) for _ in range(20)]
    time.sleep(0.5)
    os.write(write, noise(0.2).tobytes())
    assert next(frames).time_s > first[-1].time_s + 0.3
    assert source.overruns == 1


def test_close_ends_it_though_nothing_comes(pipe: tuple[int, int]) -> None:
    source = PcmPipe(pipe[0])
    threading.Timer(0.1, source.close).start()
    assert list(source.frames()) == []
    os.close(pipe[1])
