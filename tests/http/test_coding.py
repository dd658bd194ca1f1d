"""Compressed bodies: decoded within bounds, or refused in words; at the client's end, answers."""

from __future__ import annotations

import asyncio
import gzip
import random
import zlib

import pyarrow as pa
import pytest

from inferworks.errors import UnreadableError, UpstreamError
from inferworks.http.client import HttpClient, Origin
from inferworks.http.coding import PIECE_BYTES, Inflater, can_decode, coding_of, decoded

SEED = random.Random(14)
TEXT = b'{"choices": [{"message": {"content": "Hi"}}]}'
PLAIN = {
    "nothing": b"",
    "one byte": b"a",
    "an answer": TEXT,
    "what does not get smaller": SEED.randbytes(100_000),
    "just one piece": bytes(PIECE_BYTES),
    "more than a piece, and all of it in few bytes": bytes(2 * PIECE_BYTES + 258),
    "several pieces": SEED.randbytes(300) * 2000,
}


def raw_deflate(data: bytes) -> bytes:
    """As servers send it that took the name at its word: without the head that the standard has."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def zstd(data: bytes) -> bytes:
    """One frame."""
    return bytes(pa.compress(data, codec="zstd", asbytes=True))


PACKED = {
    "gzip": (b"gzip", gzip.compress),
    "gzip of two members": (
        b"gzip",
        lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:]),
    ),
    "deflate": (b"deflate", zlib.compress),
    "deflate without a head": (b"deflate", raw_deflate),
    "zstd": (b"zstd", zstd),
    "zstd of two frames": (b"zstd", lambda data: zstd(data[:9]) + zstd(data[9:])),
}
BAD = {
    "plain": (b"gzip", TEXT),
    "plain as zstd": (b"zstd", TEXT),
    "cut off": (b"gzip", gzip.compress(TEXT)[:-1]),
    "cut off in its head": (b"gzip", b"\x1f"),
    "zstd, cut off": (b"zstd", zstd(TEXT)[:-1]),
    "something behind it": (b"gzip", gzip.compress(TEXT) + b"x"),
    "zeros behind it": (b"gzip", gzip.compress(TEXT) + bytes(8)),
    "deflate with something behind it": (b"deflate", zlib.compress(TEXT) + b"x"),
    "zstd with something behind it": (b"zstd", zstd(TEXT) + b"x"),
    "another sum": (b"gzip", gzip.compress(TEXT)[:-8] + bytes(8)),
    "parts by the thousand": (b"gzip", gzip.compress(b"") * 1001),
}
UNREADABLE = {
    "brotli": (b"br", TEXT),
    "zstd": (b"zstd", zstd(TEXT)),
    "packed twice": (b"gzip, gzip", gzip.compress(gzip.compress(TEXT))),
    **{name: bad for name, bad in BAD.items() if bad[0] != b"zstd"},
}


@pytest.mark.parametrize("plain", PLAIN.values(), ids=PLAIN)
@pytest.mark.parametrize(("coding", "pack"), PACKED.values(), ids=PACKED)
def test_a_whole_body(coding, pack, plain: bytes) -> None:
    """A body decodes to what was packed, in pieces that are bounded."""
    pieces = list(decoded(pack(plain), coding))
    assert b"".join(pieces) == plain
    assert max(map(len, pieces), default=0) <= PIECE_BYTES


@pytest.mark.parametrize(("coding", "data"), BAD.values(), ids=BAD)
def test_a_body_that_is_not_what_it_says(coding: bytes, data: bytes) -> None:
    """A body that is not of its coding is refused, from its first byte to its last."""
    with pytest.raises(ValueError, match=r"coding|compressed"):
        b"".join(decoded(data, coding))


@pytest.mark.parametrize("cut", [1, 7, 1000])
def test_as_it_comes(cut: int) -> None:
    """Cuts of the network make no difference, and nothing that has come is held back."""
    plain = SEED.randbytes(300) * 40
    packed = gzip.compress(plain)
    inflater = Inflater(b"gzip")
    came = [b"".join(inflater.feed(packed[at : at + cut])) for at in range(0, len(packed), cut)]
    inflater.end()
    assert b"".join(came) == plain


def test_no_more_is_decoded_than_is_asked_for() -> None:
    """Of what stands for gigabytes, one piece is made where one is taken."""
    packer = zlib.compressobj()
    bomb = b"".join([packer.compress(bytes(1 << 20)) for _ in range(64)]) + packer.flush()
    assert len(bomb) < 1 << 17
    pieces = Inflater(b"deflate").feed(bomb)
    assert len(next(pieces)) == PIECE_BYTES


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        (b"", b""),
        (b"identity", b""),
        (b" Identity , identity", b""),
        (b"GZIP", b"gzip"),
        (b"x-gzip", b"gzip"),
        (b"identity, gzip", b"gzip"),
        (b"gzip, gzip", b"gzip, gzip"),
        (b"br", b"br"),
    ],
)
def test_what_a_header_says(header: bytes, coding: bytes) -> None:
    """One coding, or none; of several none can be decoded."""
    assert coding_of(header) == coding
    assert can_decode(coding) == (coding == b"gzip")


def answer(coding: bytes, body: bytes, *, status: int = 200, chunk_bytes: int = 0) -> bytes:
    """An answer of an upstream that packs it though nobody asked."""
    head = b"HTTP/1.1 %d OK\r\ncontent-encoding: %b\r\n" % (status, coding)
    if not chunk_bytes:
        return head + b"content-length: %d\r\n\r\n%b" % (len(body), body)
    cuts = [body[at : at + chunk_bytes] for at in range(0, len(body), chunk_bytes)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(cut), cut) for cut in cuts)
    return head + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def ask(kit, *answers: bytes, limit_bytes: int = 1 << 20, pieces: bool = False):
    """Return the bodies that a client reads of `answers` on one connection, and its requests."""
    bodies: list[bytes] = []
    heads: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for one in answers:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(one)
            await writer.drain()
        await reader.read()

    async def read(client: HttpClient, origin: Origin) -> bytes:
        async with client.stream("GET", origin, "/x") as response:
            if pieces:
                return b"".join([piece async for piece in response.pieces(2.0)])
            return await response.read(2.0, limit_bytes)

    async def main() -> None:
        async with kit.upstream(script) as (client, origin):
            for _ in answers:
                bodies.append(await read(client, origin))

    kit.run(main())
    return bodies, heads


def test_answers_are_asked_for_as_they_are(kit) -> None:
    """Without a word any coding would be welcome."""
    _, (head,) = ask(kit, answer(b"identity", TEXT))
    assert b"\r\naccept-encoding: identity\r\n" in head


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize("chunk_bytes", [0, 5])
@pytest.mark.parametrize("coding", [b"gzip", b"GZip", b"deflate", b"identity"])
def test_answers_that_come_packed(kit, coding: bytes, chunk_bytes: int, pieces: bool) -> None:
    """Answers are read as what was packed, the second on a kept connection too."""
    pack = {b"deflate": zlib.compress, b"identity": bytes}.get(coding, gzip.compress)
    packed = [answer(coding, pack(text), chunk_bytes=chunk_bytes) for text in (TEXT, b"no", TEXT)]
    read, _ = ask(kit, *packed, pieces=pieces)
    assert read == [TEXT, b"no", TEXT]


@pytest.mark.parametrize(("coding", "body"), UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize("pieces", [False, True])
def test_answers_that_cannot_be_read(kit, coding: bytes, body: bytes, pieces: bool) -> None:
    """The upstream has answered, and the words say why nobody can read it."""
    with pytest.raises(
        UnreadableError, match=r"the answer cannot be read: .*(coding|compressed)"
    ) as caught:
        ask(kit, answer(coding, body), pieces=pieces)
    assert caught.value.worked


def test_an_answer_that_stands_for_too_much(kit) -> None:
    """An answer is read no further than its bound."""
    bomb = answer(b"gzip", gzip.compress(bytes(1 << 24)))
    with pytest.raises(UpstreamError, match="larger than 1000000 bytes"):
        ask(kit, bomb, limit_bytes=1_000_000)
