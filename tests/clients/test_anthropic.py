"""The official `anthropic` client before a gateway process, whatever speaks behind it.

`claude` is passed, `native` and `chats` are translated; the client cannot tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic
from pydantic import BaseModel

from .conftest import Gateway

pytestmark = pytest.mark.slow

EVERYWHERE = pytest.mark.parametrize("model", ["claude", "native", "chats"])
QUESTION: list[Any] = [{"role": "user", "content": "How is the weather in 'Rome'?"}]
WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather at a place.",
    "input_schema": {
        "type": "object",
        "properties": {"place": {"type": "string"}},
        "required": ["place"],
    },
}


class Weather(BaseModel):
    """Form in which an answer is asked for."""

    place: str
    degrees: int


@pytest.fixture(scope="module")
def client(gateway: Gateway) -> Iterator[Anthropic]:
    """A client as anybody would make it."""
    with Anthropic(base_url=gateway.root, api_key=gateway.key) as client:
        yield client


@EVERYWHERE
def test_a_message(client: Anthropic, model: str) -> None:
    """A whole message with its usage, which has cached tokens apart."""
    got = client.messages.create(model=model, max_tokens=9, messages=QUESTION, system="Be brief.")
    assert (got.content[0].text, got.stop_reason) == ("Hello there.", "end_turn")  # type: ignore[union-attr]
    usage = got.usage
    assert usage.input_tokens > 0 < (usage.cache_read_input_tokens or 0)


@EVERYWHERE
def test_a_streamed_message(client: Anthropic, model: str) -> None:
    """The client's own accumulation of a stream gives the whole message."""
    with client.messages.stream(model=model, max_tokens=9, messages=QUESTION) as stream:
        words = list(stream.text_stream)
        message = stream.get_final_message()
    assert "".join(words) == message.content[0].text == "Hello there."  # type: ignore[union-attr]
    assert (message.stop_reason, message.usage.output_tokens > 0) == ("end_turn", True)


@EVERYWHERE
def test_tools(client: Anthropic, model: str) -> None:
    """A tool is called, its result (with a picture) is sent, and the conversation comes to its end."""
    with client.messages.stream(
        model=model, max_tokens=99, messages=QUESTION, tools=[WEATHER]
    ) as stream:
        first = stream.get_final_message()
    assert first.stop_reason == "tool_use"
    call = first.content[-1]
    assert (call.type, getattr(call, "input", None)) == ("tool_use", {"place": "Rome"})
    picture = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    result: Any = {
        "type": "tool_result",
        "tool_use_id": getattr(call, "id", ""),
        "content": [{"type": "text", "text": "Sunny."}, {"type": "image", "source": picture}],
    }
    told: list[Any] = [
        *QUESTION,
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [result]},
    ]
    last = client.messages.create(model=model, max_tokens=99, messages=told, tools=[WEATHER])
    assert (last.content[0].text, last.stop_reason) == ("Hello there.", "end_turn")  # type: ignore[union-attr]


@EVERYWHERE
def test_structured_output(client: Anthropic, model: str) -> None:
    """A message in the form of a type is that type."""
    got = client.messages.parse(
        model=model, max_tokens=99, messages=QUESTION, output_format=Weather
    )
    assert got.parsed_output == Weather(place="Rome", degrees=1)


def test_a_count(client: Anthropic) -> None:
    """Tokens are counted where the upstream counts them, and nowhere else."""
    count = client.messages.count_tokens
    assert count(model="claude", messages=QUESTION).input_tokens > 0
    with pytest.raises(anthropic.BadRequestError, match="cannot be used for"):
        count(model="native", messages=QUESTION)


def test_models(client: Anthropic) -> None:
    """Everything that is served is listed and can be looked at."""
    listed = [model.id for model in client.models.list()]
    assert {"native", "chats", "claude"} <= set(listed)
    assert client.models.retrieve("native").display_name == "native"


def test_a_stranger(gateway: Gateway) -> None:
    """A wrong key raises the error that the client has for it."""
    with (
        Anthropic(base_url=gateway.root, api_key="iw_wrong") as stranger,
        pytest.raises(anthropic.AuthenticationError),
    ):
        stranger.messages.create(model="claude", max_tokens=9, messages=QUESTION)
