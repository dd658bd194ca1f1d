"""LiteLLM as a library: its prefixes for OpenAI, for Anthropic and for a proxy of its own."""

from __future__ import annotations

import json
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm
from jobs import ASK, CALL, KEY, MODELS, ROOT, SAY, URL, run
from pydantic import BaseModel

litellm.suppress_debug_info = True
litellm.telemetry = False
PARAMETERS = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
FUNCTION = {"name": "weather", "description": "The weather.", "parameters": PARAMETERS}


class Form(BaseModel):
    """The form of the answer."""

    place: str
    degrees: int


def said(text):
    """A conversation of one message."""
    return [{"role": "user", "content": text}]


def ways(model):
    """Arguments for each prefix."""
    # setup
    chat = {
        "model": f"openai/{model}",
        "api_base": URL,
        "api_key": KEY,
    }
    messages = {
        "model": f"anthropic/{model}",
        "api_base": ROOT,
        "api_key": KEY,
    }
    # end
    return {
        "chat": chat,
        "proxy": {**chat, "model": f"litellm_proxy/{model}"},
        "responses": {**chat, "model": f"openai/responses/{model}"},
        "messages": messages,
    }


def jobs(way, name, asked):
    """All jobs with one model."""
    asked = {**asked, "num_retries": 0}

    def create(**more):
        return litellm.completion(**asked, **more)

    def chat():
        return create(messages=said(SAY)).choices[0].message.content

    def stream():
        chunks = create(messages=said(SAY), stream=True)
        return [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]

    def tools(weather):
        messages, offered = said(CALL), [{"type": "function", "function": FUNCTION}]
        while True:
            message = create(messages=messages, tools=offered).choices[0].message
            if not message.tool_calls:
                return message.content
            messages.append(message.model_dump())
            for call in message.tool_calls:
                result = weather(**json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result})

    def form():
        return json.loads(
            create(messages=said(ASK), response_format=Form).choices[0].message.content
        )

    run(way, name, chat=chat, stream=stream, tools=tools, json=form)


for name in MODELS:
    for way, asked in ways(name).items():
        jobs(way, name, asked)
