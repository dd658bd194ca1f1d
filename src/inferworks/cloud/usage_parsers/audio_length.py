"""Length of a recording, by its own header: exactly, or not at all.

WAV says how it was sampled and how many bytes there are; FLAC says how many samples. Other formats would
have to be decoded from end to end. The byte rate that a WAV claims is not used, since no decoder needs it
and a caller could lower its price by it: the length is the one that a decoder would find.

Sources: https://www.mmsp.ece.mcgill.ca/Documents/AudioFormats/WAVE/WAVE.html,
https://www.rfc-editor.org/rfc/rfc9639#section-8.2
"""

from __future__ import annotations

import struct
from typing import Final

_MS: Final = 1000
_WAV_FORMAT: Final = struct.Struct("<HHIIHH")
"""Coding, channels, samples/s, bytes/s, bytes of one sample of all channels, bits."""
_LINEAR: Final = frozenset({0x0001, 0x0003, 0xFFFE})
"""Codings whose samples all have one size: whole numbers, floats, and the extensible form of both."""
_MOST_CHUNKS: Final = 64


def length_ms(sound: bytes | memoryview) -> int | None:
    """Milliseconds of `sound`, the last one begun; None where its header does not say."""
    if sound[:4] == b"RIFF" and sound[8:12] == b"WAVE":
        bytes_per_s = 0
        at = 12
        for _ in range(_MOST_CHUNKS):
            kind, size = sound[at : at + 4], int.from_bytes(sound[at + 4 : at + 8], "little")
            at += 8
            if kind == b"fmt ":
                header = sound[at : at + _WAV_FORMAT.size]
                bytes_per_s = 0
                if len(header) == _WAV_FORMAT.size:
                    coding, _, samples_per_s, _, sample_bytes, _ = _WAV_FORMAT.unpack(header)
                    bytes_per_s = samples_per_s * sample_bytes if coding in _LINEAR else 0
            if kind == b"data" or len(kind) < 4:
                there = len(sound) - at
                # one that is still being written says 0, or too much
                size = min(size or there, there)
                return -(-size * _MS // bytes_per_s) if bytes_per_s and size > 0 else None
            at += size + size % 2
    elif sound[:4] == b"fLaC":
        # the first block, STREAMINFO, has 20 bits of rate, 8 of something else and 36 of a number
        packed = int.from_bytes(sound[18:26], "big")
        samples_per_s, samples = packed >> 44, packed & ((1 << 36) - 1)
        known = len(sound) >= 26 and samples_per_s and samples
        return -(-samples * _MS // samples_per_s) if known else None
    return None
