"""Length of a recording by its own header."""

from __future__ import annotations

import io
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.cloud.usage_parsers.audio_length import length_ms


@given(
    st.integers(0, 5000),
    st.sampled_from([8000, 16_000, 22_050, 44_100, 48_000]),
    st.integers(1, 2),
    st.integers(1, 4),
    st.binary(max_size=30),
)
def test_wav(frames: int, rate: int, channels: int, width: int, extra: bytes) -> None:
    """A file that the standard library writes has the length it says, rounded up to a millisecond."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(width)
        sound.setframerate(rate)
        sound.writeframes(bytes(frames * channels * width))
    written = file.getvalue()
    exact = -(-frames * 1000 // rate)
    assert length_ms(written) == (exact or None)
    padded = extra + b"\0" * (len(extra) % 2)
    chunk = b"LIST" + len(extra).to_bytes(4, "little") + padded
    assert length_ms(written[:12] + chunk + written[12:]) == (exact or None)
    streamed = bytearray(written)
    for size in (0, 0xFFFFFFFF):  # one that was never finished
        streamed[40:44] = size.to_bytes(4, "little")
        assert length_ms(bytes(streamed)) == (exact or None)
    cheap = bytearray(written)
    cheap[28:32] = (0xFFFFFFFF).to_bytes(4, "little")  # a rate of bytes that no decoder looks at
    assert length_ms(bytes(cheap)) == (exact or None)


@pytest.mark.slow
@given(st.integers(1, (1 << 20) - 1), st.integers(1, (1 << 36) - 1))
def test_flac(rate: int, samples: int) -> None:
    """The first block says how many samples there are and how many a second has."""
    packed = (rate << 44 | 1 << 41 | 15 << 36 | samples).to_bytes(8, "big")
    header = b"fLaC\x80\0\0\x22" + bytes(10) + packed + bytes(16)
    assert length_ms(header) == -(-samples * 1000 // rate)


@given(st.sampled_from([b"RIFF\0\0\0\0WAVE", b"fLaC", b""]), st.binary(max_size=80))
def test_damaged_headers_say_nothing_wrong(head: bytes, rest: bytes) -> None:
    """Noise after a good beginning is a length above zero, or none, and never an exception."""
    found = length_ms(head + rest)
    assert found is None or found > 0
