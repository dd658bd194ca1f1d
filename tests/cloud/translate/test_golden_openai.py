"""Responses and completions by way of chats, as files that one can read.

An answer or a stream is the one to the request of the same name, or else to the plain one.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.support.translations import PutBack, put_back

from inferworks.cloud.call import Call
from inferworks.cloud.translate.base import Translation
from inferworks.cloud.translate.completions_to_chat import CompletionsToChat
from inferworks.cloud.translate.responses_to_chat.translation import ResponsesToChat
from inferworks.http.sse import EventSplitter
from inferworks.ids import CallId, ModelId

GOLDEN = Path(__file__).parents[2] / "golden" / "translate"
WAYS: dict[str, Translation] = {
    "responses_to_chat": ResponsesToChat(),
    "completions_to_chat": CompletionsToChat(),
}
FILES = [path for way in WAYS for path in sorted((GOLDEN / way).glob("*.in.*"))]


def call_for(path: Path) -> Call:
    """The call that the file is about."""
    name = path.name.split(".")[0]
    request = path.with_name(f"{name}.request.in.json")
    body = (request if request.exists() else path.with_name("plain.request.in.json")).read_bytes()
    source = WAYS[path.parent.name].source
    stream = ".stream." in path.name
    return Call(CallId("call_1"), source, ModelId("m"), stream, wants_usage=True, body=body)


def translated(path: Path) -> bytes:
    """Translation of the content of a file."""
    translation, call, given = WAYS[path.parent.name], call_for(path), path.read_bytes()
    match path.name.split(".")[1]:
        case "request":
            return translation.ask(call).body
        case "answer":
            return put_back(translation, call, given)
    return PutBack(translation, call).events(EventSplitter().feed(given))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_golden(path: Path) -> None:
    """Each file becomes the one beside it: JSON with the same values, events byte for byte."""
    wanted = path.with_name(path.name.replace(".in.", ".out.")).read_bytes()
    got = translated(path)
    if path.suffix == ".sse":
        assert got == wanted
    else:
        assert msgspec.json.decode(got) == msgspec.json.decode(wanted)


def test_there_are_files_of_every_kind() -> None:
    """Both ways are shown with requests, answers and streams."""
    kinds = {(path.parent.name, path.name.split(".")[1]) for path in FILES}
    assert kinds == {(way, kind) for way in WAYS for kind in ("request", "answer", "stream")}
