"""Bytes, marks and characters."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inferworks.hardware.engines.base import Message
from inferworks.hardware.engines.embedded.tokenizer import Detokenizer, Tokenizer

TOKENIZER = Tokenizer(end_of_turn=256, begin=257, system=258, user=259, assistant=260)


def test_the_chat_template() -> None:
    """A chat is a begin mark, its marked messages, and the mark after which the answer begins."""
    chat = TOKENIZER.chat((Message("system", "S"), Message("user", "é")))
    assert chat == (257, 258, 83, 256, 259, 0xC3, 0xA9, 256, 260)


@given(st.text())
def test_round_trip(text: str) -> None:
    """Any text survives as bytes, fed one by one."""
    detokenizer = Detokenizer()
    pieces = [detokenizer.feed(byte) for byte in text.encode("utf-8", "replace")]
    expected = text.encode("utf-8", "replace").decode()
    assert "".join(pieces) + detokenizer.rest() == expected
    assert all(len(piece) <= 1 for piece in pieces), "a character comes whole or not at all"


@given(st.binary())
def test_any_bytes(data: bytes) -> None:
    """Bytes that are no UTF-8 come out as they would be read all at once."""
    detokenizer = Detokenizer()
    text = "".join(detokenizer.feed(byte) for byte in data) + detokenizer.rest()
    assert text == data.decode("utf-8", "replace")
