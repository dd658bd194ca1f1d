"""Mistral's client for Python: its chats are OpenAI's but for some words."""

from __future__ import annotations

import json

from jobs import ASK, CALL, KEY, MODELS, ROOT, SAY, run
from mistralai.client import Mistral
from pydantic import BaseModel

# setup
client = Mistral(server_url=ROOT, api_key=KEY)
# end
PARAMETERS = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
FUNCTION = {"name": "weather", "description": "The weather.", "parameters": PARAMETERS}


class Form(BaseModel):
    """The form of the answer."""

    place: str
    degrees: int


def said(text):
    """A conversation of one message."""
    return [{"role": "user", "content": text}]


def jobs(model):
    """All jobs with one model."""

    def chat():
        return client.chat.complete(model=model, messages=said(SAY)).choices[0].message.content

    def stream():
        events = client.chat.stream(model=model, messages=said(SAY))
        return [event.data.choices[0].delta.content for event in events if event.data.choices]

    def tools(weather):
        messages, offered = said(CALL), [{"type": "function", "function": FUNCTION}]
        while True:
            answer = client.chat.complete(model=model, messages=messages, tools=offered)
            message = answer.choices[0].message
            if not message.tool_calls:
                return message.content
            messages.append(message)
            for call in message.tool_calls:
                result = weather(**json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result})

    def form():
        answer = client.chat.parse(model=model, messages=said(ASK), response_format=Form)
        return answer.choices[0].message.parsed

    run("chat", model, chat=chat, stream=stream, tools=tools, json=form)


for name in MODELS:
    jobs(name)
