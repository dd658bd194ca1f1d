"""Requests, answers and streams of both dialects, as files that one can read."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.support.translations import PutBack, put_back

from inferworks.cloud.call import Call
from inferworks.cloud.translate.base import Translation
from inferworks.cloud.translate.chat_to_messages.translation import ChatToMessages
from inferworks.cloud.translate.messages_to_chat.translation import MessagesToChat
from inferworks.http.sse import EventSplitter
from inferworks.ids import CallId, ModelId

GOLDEN = Path(__file__).parents[2] / "golden" / "translate"
WAYS: dict[str, Translation] = {
    "messages_to_chat": MessagesToChat(),
    "chat_to_messages": ChatToMessages(),
}
FILES = [path for way in WAYS for path in sorted((GOLDEN / way).glob("*.in.*"))]


def call_of(translation: Translation, body: bytes, *, stream: bool = False) -> Call:
    """A call of the translation's source."""
    return Call(
        CallId("call_1"), translation.source, ModelId("m"), stream, wants_usage=True, body=body
    )


def translated(translation: Translation, kind: str, given: bytes) -> bytes:
    """Translation of `given`, the content of a file of this kind."""
    if kind == "request":
        stream = msgspec.json.decode(given).get("stream", False)
        return translation.ask(call_of(translation, given, stream=stream)).body
    if kind == "answer":
        return put_back(translation, call_of(translation, b""), given)
    stream = PutBack(translation, call_of(translation, b"", stream=True))
    return stream.events(EventSplitter().feed(given))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_golden(path: Path) -> None:
    """Each file becomes the one beside it: JSON with the same values, events byte for byte."""
    kind = path.name.split(".")[1]
    wanted = path.with_name(path.name.replace(".in.", ".out.")).read_bytes()
    got = translated(WAYS[path.parent.name], kind, path.read_bytes())
    if kind == "stream":
        assert got == wanted
    else:
        assert msgspec.json.decode(got) == msgspec.json.decode(wanted)


def test_there_are_files_of_every_kind() -> None:
    """Both ways are shown with requests, answers and streams."""
    kinds = {(path.parent.name, path.name.split(".")[1]) for path in FILES}
    assert kinds == {(way, kind) for way in WAYS for kind in ("request", "answer", "stream")}
