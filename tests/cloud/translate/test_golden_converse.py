"""Chats in the words of Bedrock's Converse and its answers as chats, as files that one can read."""

from __future__ import annotations

from pathlib import Path

import botocore.session
import botocore.validate
import msgspec
import pytest
from tests.support.translations import PutBack, put_back

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.chat_to_converse.translation import ChatToConverse
from inferworks.http.sse import EventSplitter
from inferworks.ids import CallId, ModelId

GOLDEN = Path(__file__).parents[2] / "golden" / "translate" / "chat_to_converse"
FILES = sorted(GOLDEN.glob("*.in.*"))
REQUESTS = sorted(GOLDEN.glob("*.request.in.json"))
WAY = ChatToConverse()


def call_of(body: bytes, *, stream: bool = False) -> Call:
    """A chat."""
    model = ModelId("my-model")
    return Call(CallId("call_1"), Operation.CHAT, model, stream, wants_usage=True, body=body)


def translated(kind: str, given: bytes) -> bytes:
    """Translation of `given`, the content of a file of this kind."""
    if kind == "request":
        return WAY.ask(call_of(given)).body
    if kind == "answer":
        return put_back(WAY, call_of(b""), given)
    return PutBack(WAY, call_of(b"", stream=True)).events(EventSplitter().feed(given))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_golden(path: Path) -> None:
    """Each file becomes the one beside it: JSON with the same values, events byte for byte."""
    kind = path.name.split(".")[1]
    wanted = path.with_name(path.name.replace(".in.", ".out.")).read_bytes()
    got = translated(kind, path.read_bytes())
    if kind == "stream":
        assert got == wanted
    else:
        assert msgspec.json.decode(got) == msgspec.json.decode(wanted)


def test_there_are_files_of_every_kind() -> None:
    """Requests, answers and streams are shown."""
    assert {path.name.split(".")[1] for path in FILES} == {"request", "answer", "stream"}


@pytest.mark.parametrize("path", REQUESTS, ids=lambda path: path.name)
def test_requests_are_what_amazons_model_of_the_api_describes(path: Path) -> None:
    """Amazon's own library finds nothing unknown, missing or of the wrong type in a request."""
    service = botocore.session.Session().get_service_model("bedrock-runtime")
    shape = service.operation_model("Converse").input_shape
    body = msgspec.json.decode(translated("request", path.read_bytes()))
    assert body.keys() <= shape.members.keys()
    report = botocore.validate.ParamValidator().validate({"modelId": "m", **body}, shape)
    assert not report.has_errors(), report.generate_report()
