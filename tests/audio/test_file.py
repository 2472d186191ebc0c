import contextlib
import io
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.audio.file import read_audio, read_blocks
from agent.errors import AudioError
from tests.audio.blocks import noise


def tone(rate_hz: int, channels: int = 1) -> np.ndarray:
    mono = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate_hz) / rate_hz) * np.hanning(rate_hz)
    return np.repeat(mono[:, None], channels, axis=1)


FORMATS = [
    ("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "PCM_U8"), ("WAV", "FLOAT"), ("WAV", "ULAW"),
    ("AIFF", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"),
    ("W64", "PCM_32"),
]  # fmt: skip


@pytest.mark.parametrize(("container", "subtype"), FORMATS)
@pytest.mark.parametrize(("rate_hz", "channels"), [(8_000, 1), (16_000, 2), (48_000, 1), (48_000, 2)])
def test_every_format_rate_and_channel_count(
    tmp_path: Path, container: str, subtype: str, rate_hz: int, channels: int
) -> None:
    path = tmp_path / "tone"
    soundfile.write(path, tone(rate_hz, channels), rate_hz, format=container, subtype=subtype)
    heard = read_audio(path)
    wanted = np.rint(tone(16_000)[:, 0] * 32767)
    assert abs(len(heard) - len(wanted)) <= 1
    assert np.corrcoef(heard[:15_999], wanted[:15_999])[0, 1] > 0.99
    assert np.std(heard) == pytest.approx(np.std(wanted), rel=0.1)


def test_channels_are_averaged(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.tile(np.array([[1000, 3000]], np.int16), (1600, 1)), 16_000)
    assert set(read_audio(path).tolist()) == {2000}


def test_16_khz_mono_comes_out_bit_by_bit(tmp_path: Path) -> None:
    path = tmp_path / "same.wav"
    soundfile.write(path, noise(1.23), 16_000)
    assert np.array_equal(read_audio(path), noise(1.23))


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    soundfile.write(path, np.zeros(48_000 * 60, np.int16), 48_000)
    assert max(len(block) for block in read_blocks(path)) < 16_000


def refused(path: Path) -> str:
    with pytest.raises(AudioError) as error:
        read_audio(path)
    assert str(path) in str(error.value)
    return str(error.value)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "absent.wav")
    assert "cannot be read" in refused(tmp_path)
    (tmp_path / "text.wav").write_text("this is no sound\n" * 100)
    assert "cannot be read" in refused(tmp_path / "text.wav")
    (tmp_path / "nothing.wav").touch()
    refused(tmp_path / "nothing.wav")
    soundfile.write(tmp_path / "silent.wav", np.empty(0, np.int16), 16_000)
    assert "holds no sound" in refused(tmp_path / "silent.wav")
    soundfile.write(tmp_path / "short.wav", np.ones(1), 48_000)
    assert "holds no sound" in refused(tmp_path / "short.wav")
    soundfile.write(tmp_path / "slow.wav", np.zeros(100, np.int16), 100)
    assert "100 Hz" in refused(tmp_path / "slow.wav")
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), 16_000, subtype="FLOAT")
    assert "not numbers" in refused(tmp_path / "nan.wav")


def test_an_unreadable_file_is_refused_before_the_first_block(tmp_path: Path) -> None:
    with pytest.raises(AudioError):
        read_blocks(tmp_path / "absent.wav")
    (tmp_path / "text.wav").write_text("no sound")
    assert "cannot be read as sound: Format not recognised. WAV, FLAC" in refused(tmp_path / "text.wav")


DAMAGED_FORMATS = [
    ("WAV", "PCM_16"), ("WAV", "IMA_ADPCM"), ("FLAC", "PCM_16"), ("OGG", "OPUS"), ("OGG", "VORBIS"),
    ("AIFF", "PCM_16"), ("MP3", "MPEG_LAYER_III"), ("CAF", "ALAC_16"), ("AU", "PCM_16"), ("RF64", "FLOAT"),
]  # fmt: skip


def good_files() -> dict[str, bytes]:
    files = {}
    for container, subtype in DAMAGED_FORMATS:
        buffer = io.BytesIO()
        soundfile.write(buffer, tone(16_000)[:4000], 16_000, format=container, subtype=subtype)
        files[f"{container}/{subtype}"] = buffer.getvalue()
    return files


GOOD = good_files()


@pytest.mark.parametrize("name", GOOD)
@settings(max_examples=60, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_never_crash_nor_hang(tmp_path: Path, name: str, data: st.DataObject) -> None:
    """Bytes changed, cut out, doubled or cut off: sound or an AudioError, never more, and soon."""
    content = bytearray(GOOD[name])
    in_header = st.integers(0, min(200, len(content) - 1))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(in_header | st.integers(0, len(content) - 1)) % len(content)
        match data.draw(st.sampled_from(["change", "word", "cut", "double", "end"])):
            case "change":
                content[at] = data.draw(st.integers(0, 255))
            case "word":
                content[at : at + 4] = data.draw(
                    st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f"])
                )
            case "cut":
                del content[at : at + data.draw(st.integers(1, 50))]
            case "double":
                content[at:at] = content[at : at + 50]
            case "end":
                del content[max(1, at) :]
        content = content or bytearray(b"R")
    path = tmp_path / "damaged"
    path.write_bytes(content)
    try:
        samples = read_audio(path)
    except AudioError:
        return
    assert samples.dtype == np.int16
    assert len(samples) < 16_000 * 3600


@settings(max_examples=100, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    channels=st.integers(0, 65_535),
    rate_hz=st.integers(0, 2**32 - 1) | st.sampled_from([1, 8000, 16_000, 2**31]),
    bits=st.integers(0, 65_535) | st.sampled_from([8, 16, 24, 32]),
    claimed=st.integers(0, 2**32 - 1),
    code=st.integers(0, 65_535) | st.sampled_from([1, 3, 0xFFFE]),
)
def test_wav_headers_may_claim_anything(
    tmp_path: Path, channels: int, rate_hz: int, bits: int, claimed: int, code: int
) -> None:
    header = b"RIFF" + claimed.to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    header += code.to_bytes(2, "little") + channels.to_bytes(2, "little") + rate_hz.to_bytes(4, "little")
    header += (
        (rate_hz * 2 % 2**32).to_bytes(4, "little") + (2).to_bytes(2, "little") + bits.to_bytes(2, "little")
    )
    path = tmp_path / "claims.wav"
    path.write_bytes(header + b"data" + claimed.to_bytes(4, "little") + noise(0.1).tobytes())
    with contextlib.suppress(AudioError):
        assert len(read_audio(path)) < 16_000 * 3600


def test_a_cut_off_recording_gives_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "cut.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(noise(2).tobytes())
    path.write_bytes(path.read_bytes()[: 44 + 16_000 * 2])
    assert np.array_equal(read_audio(path), noise(2)[:16_000])
