"""The official `openai` client before a gateway process: every method, whatever speaks behind it.

`native` is passed, `chats` and `claude` are translated; the client cannot tell.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import BaseModel

from .conftest import Gateway

pytestmark = pytest.mark.slow

EVERYWHERE = pytest.mark.parametrize("model", ["native", "chats", "claude"])
QUESTION: list[ChatCompletionMessageParam] = [
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": "How is the weather in 'Rome'?"},
]
PICTURE = "data:image/png;base64,iVBORw0KGgo="
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather at a place.",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string"}},
            "required": ["place"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}


class Weather(BaseModel):
    """Form in which an answer is asked for."""

    place: str
    degrees: int
    is_sunny: bool


@pytest.fixture(scope="module")
def client(gateway: Gateway) -> Iterator[OpenAI]:
    """A client as anybody would make it."""
    with OpenAI(base_url=gateway.url, api_key=gateway.key) as client:
        yield client


@EVERYWHERE
def test_a_chat(client: OpenAI, model: str) -> None:
    """A whole answer with its usage."""
    got = client.chat.completions.create(model=model, messages=QUESTION)
    assert got.object == "chat.completion"
    (choice,) = got.choices
    assert (choice.message.content, choice.finish_reason) == ("Hello there.", "stop")
    assert got.usage is not None
    assert got.usage.total_tokens == got.usage.prompt_tokens + got.usage.completion_tokens > 0


@EVERYWHERE
@pytest.mark.parametrize("asking", [False, True])
def test_a_streamed_chat(client: OpenAI, model: str, asking: bool) -> None:
    """The pieces make the whole, and usage comes once, to those who asked."""
    chunks = list(
        client.chat.completions.create(
            model=model, messages=QUESTION, stream=True,
            stream_options={"include_usage": True} if asking else openai.omit,
        )
    )  # fmt: skip
    said = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert "".join(choice.delta.content or "" for choice in said) == "Hello there."
    assert said[0].delta.role == "assistant"
    assert [choice.finish_reason for choice in said if choice.finish_reason] == ["stop"]
    assert len([chunk for chunk in chunks if chunk.usage]) == asking


@EVERYWHERE
def test_the_helper_for_streams(client: OpenAI, model: str) -> None:
    """The client's own accumulation of a stream gives the whole answer."""
    with client.chat.completions.stream(model=model, messages=QUESTION) as stream:
        kinds = {event.type for event in stream}
        message = stream.get_final_completion().choices[0].message
    assert {"content.delta", "content.done"} <= kinds
    assert message.content == "Hello there."


@EVERYWHERE
def test_tools(client: OpenAI, model: str) -> None:
    """A tool is called, its result is sent, and the conversation comes to its end."""
    create = client.chat.completions.create
    first = create(model=model, messages=QUESTION, tools=[WEATHER]).choices[0]
    assert first.finish_reason == "tool_calls"
    assert first.message.tool_calls is not None
    (call,) = first.message.tool_calls
    assert call.type == "function"
    assert json.loads(call.function.arguments) == {"place": "Rome"}
    result: ChatCompletionMessageParam = {
        "role": "tool", "tool_call_id": call.id, "content": "Sunny."
    }  # fmt: skip
    told: list[ChatCompletionMessageParam] = [*QUESTION, first.message.to_dict(), result]  # type: ignore[list-item]
    last = create(model=model, messages=told, tools=[WEATHER]).choices[0]
    assert (last.message.content, last.finish_reason) == ("Hello there.", "stop")


@EVERYWHERE
def test_streamed_tools(client: OpenAI, model: str) -> None:
    """The pieces of a call's arguments make the whole."""
    with client.chat.completions.stream(
        model=model, messages=QUESTION, tools=[WEATHER], tool_choice="required"
    ) as stream:
        done = [e for e in stream if e.type == "tool_calls.function.arguments.done"]
        choice = stream.get_final_completion().choices[0]
    assert [event.name for event in done] == ["get_weather"]
    assert choice.message.tool_calls is not None
    assert json.loads(choice.message.tool_calls[0].function.arguments) == {"place": "Rome"}


@EVERYWHERE
def test_structured_output(client: OpenAI, model: str) -> None:
    """An answer in the form of a type is that type."""
    got = client.chat.completions.parse(model=model, messages=QUESTION, response_format=Weather)
    parsed = got.choices[0].message.parsed
    assert parsed == Weather(place="Rome", degrees=1, is_sunny=True)


@EVERYWHERE
def test_pictures(client: OpenAI, model: str) -> None:
    """Pictures as data and by address are taken."""
    content: ChatCompletionMessageParam = {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is it?"},
            {"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        ],
    }
    got = client.chat.completions.create(model=model, messages=[content])
    assert got.choices[0].message.content == "Hello there."


@pytest.mark.parametrize("model", ["native", "chats"])
def test_logprobs(client: OpenAI, model: str) -> None:
    """Log probabilities of tokens pass."""
    got = client.chat.completions.create(model=model, messages=QUESTION, logprobs=True)
    assert got.choices[0].logprobs is not None
    assert [t.token for t in got.choices[0].logprobs.content or ()] == ["Hello", " there", "."]


def test_logprobs_of_a_response(client: OpenAI) -> None:
    """The same for a response that is made from a chat, whole and streamed."""
    asked: Any = {"model": "chats", "input": "Hi", "include": ["message.output_text.logprobs"]}
    whole = client.responses.create(**asked)
    with client.responses.stream(**asked) as stream:
        deltas = [event for event in stream if event.type == "response.output_text.delta"]
        streamed = stream.get_final_response()
    for response in (whole, streamed):
        logprobs = response.output[0].content[0].logprobs  # type: ignore[union-attr]
        assert [one.token for one in logprobs] == ["Hello", " there", "."]
    assert [one.token for delta in deltas for one in delta.logprobs] == ["Hello", " there", "."]


def test_what_anthropic_cannot(client: OpenAI) -> None:
    """A parameter that the other dialect cannot express is refused, by its name."""
    with pytest.raises(openai.BadRequestError, match="'logprobs'") as caught:
        client.chat.completions.create(model="claude", messages=QUESTION, logprobs=True)
    assert (caught.value.param, caught.value.code) == ("logprobs", "unsupported_parameter")


@EVERYWHERE
def test_a_completion(client: OpenAI, model: str) -> None:
    """The older kind, whole and streamed."""
    got = client.completions.create(model=model, prompt="Say hello.", max_tokens=9)
    assert (got.choices[0].text, got.choices[0].finish_reason) == ("Hello there.", "stop")
    stream = client.completions.create(model=model, prompt="Say hello.", stream=True)
    assert "".join(event.choices[0].text for event in stream if event.choices) == "Hello there."


@EVERYWHERE
def test_a_response(client: OpenAI, model: str) -> None:
    """A response with its text and its usage."""
    got = client.responses.create(model=model, instructions="Be brief.", input="Say hello.")
    assert (got.status, got.output_text) == ("completed", "Hello there.")
    assert got.usage is not None
    assert got.usage.total_tokens == got.usage.input_tokens + got.usage.output_tokens > 0


@EVERYWHERE
def test_a_streamed_response(client: OpenAI, model: str) -> None:
    """Events in their order, numbered without a gap; the last one has the whole."""
    with client.responses.stream(model=model, input="Say hello.") as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == final.output_text == "Hello there."


@EVERYWHERE
def test_a_structured_response(client: OpenAI, model: str) -> None:
    """A response in the form of a type is that type."""
    got = client.responses.parse(model=model, input="'Rome'", text_format=Weather)
    assert got.output_parsed == Weather(place="Rome", degrees=1, is_sunny=True)


@pytest.mark.parametrize("model", ["chats", "claude"])
def test_a_response_with_tools(client: OpenAI, model: str) -> None:
    """A function is called, its result is sent, and the conversation comes to its end."""
    function = WEATHER["function"]
    tool = {"type": "function", **function}
    given = [{"role": "user", "content": [
        {"type": "input_text", "text": "'Rome'"}, {"type": "input_image", "image_url": PICTURE}
    ]}]  # fmt: skip
    create = client.responses.create
    first = create(model=model, input=given, tools=[tool], reasoning={"effort": "low"})  # type: ignore[call-overload]
    *thoughts, call = first.output
    assert [item.type for item in thoughts] == (["reasoning"] if model == "claude" else [])
    assert json.loads(call.arguments) == {"place": "Rome"}
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny."}
    last = create(model=model, input=[*given, *first.output, result], tools=[tool])  # type: ignore[call-overload]
    assert last.output_text == "Hello there."


def test_embeddings(client: OpenAI) -> None:
    """Vectors, in the client's own packed form and as numbers."""
    packed = client.embeddings.create(model="native", input=["a", "b"])
    plain = client.embeddings.create(model="native", input="a", encoding_format="float")
    assert [item.embedding for item in packed.data] == [plain.data[0].embedding] * 2
    assert packed.usage.total_tokens > plain.usage.total_tokens > 0


def test_moderations(client: OpenAI) -> None:
    """A judgement, of the model that OpenAI's client means when it names none."""
    got = client.moderations.create(input="Hello")
    assert (got.model, got.results[0].flagged) == ("omni-moderation-latest", False)


def test_models(client: OpenAI) -> None:
    """Everything that is served is listed and can be looked at."""
    listed = [model.id for model in client.models.list()]
    assert {"native", "chats", "claude"} <= set(listed)
    assert client.models.retrieve("claude").id == "claude"


def test_what_is_asked_of_the_wrong_model(client: OpenAI) -> None:
    """A model that cannot do something says so; nothing is sent on."""
    with pytest.raises(openai.BadRequestError, match="cannot be used for embeddings"):
        client.embeddings.create(model="claude", input="a")


def test_the_call_can_be_found_again(client: OpenAI) -> None:
    """Each answer tells its number in our records."""
    raw = client.chat.completions.with_raw_response.create(model="native", messages=QUESTION)
    assert raw.headers["x-inferworks-call-id"].startswith("call_")
