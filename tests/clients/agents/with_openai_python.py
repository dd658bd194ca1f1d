"""OpenAI's client for Python: chats and responses."""

from __future__ import annotations

import json

from jobs import ASK, CALL, KEY, MODELS, SAY, URL, run
from openai import OpenAI
from pydantic import BaseModel

# setup
client = OpenAI(base_url=URL, api_key=KEY)
# end
client.max_retries = 0

PARAMETERS = {
    "type": "object",
    "properties": {"place": {"type": "string"}},
    "required": ["place"],
    "additionalProperties": False,
}
FUNCTION = {"name": "weather", "description": "The weather.", "parameters": PARAMETERS}


class Form(BaseModel):
    """The form of the answer."""

    place: str
    degrees: int


def said(text):
    """A conversation of one message."""
    return [{"role": "user", "content": text}]


def chats(model):
    """All jobs by chats."""
    create = client.chat.completions.create

    def chat():
        return create(model=model, messages=said(SAY)).choices[0].message.content

    def stream():
        chunks = create(model=model, messages=said(SAY), stream=True)
        return [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]

    def tools(weather):
        messages, offered = said(CALL), [{"type": "function", "function": FUNCTION}]
        while True:
            message = create(model=model, messages=messages, tools=offered).choices[0].message
            if not message.tool_calls:
                return message.content
            messages.append(message)
            for call in message.tool_calls:
                result = weather(**json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result})

    def form():
        parse = client.chat.completions.parse
        answer = parse(model=model, messages=said(ASK), response_format=Form)
        return answer.choices[0].message.parsed

    run("chat", model, chat=chat, stream=stream, tools=tools, json=form)


def responses(model):
    """All jobs by responses."""
    create = client.responses.create

    def chat():
        return create(model=model, input=SAY).output_text

    def stream():
        with client.responses.stream(model=model, input=SAY) as events:
            return [event.delta for event in events if event.type == "response.output_text.delta"]

    def tools(weather):
        items, offered = said(CALL), [{"type": "function", "strict": True, **FUNCTION}]
        while True:
            answer = create(model=model, input=items, tools=offered)
            calls = [item for item in answer.output if item.type == "function_call"]
            if not calls:
                return answer.output_text
            items += answer.output
            for call in calls:
                result = weather(**json.loads(call.arguments))
                told = {"type": "function_call_output", "call_id": call.call_id}
                items.append({**told, "output": result})

    def form():
        return client.responses.parse(model=model, input=ASK, text_format=Form).output_parsed

    run("responses", model, chat=chat, stream=stream, tools=tools, json=form)


for name in MODELS:
    chats(name)
    responses(name)
