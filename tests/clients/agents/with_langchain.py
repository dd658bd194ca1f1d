"""LangChain for Python: chats and responses of its model for OpenAI, messages of the one for Anthropic."""

from __future__ import annotations

import importlib.util

from jobs import ASK, CALL, KEY, MODELS, ROOT, SAY, URL, run
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel


class Form(BaseModel):
    """The form of the answer."""

    place: str
    degrees: int


def models(model):
    """Each way, and its model."""
    # setup
    chat = ChatOpenAI(model=model, base_url=URL, api_key=KEY)
    # end
    chat.max_retries = 0
    yield "chat", chat
    options = {"model": model, "base_url": URL, "api_key": KEY, "max_retries": 0}
    yield "responses", ChatOpenAI(use_responses_api=True, **options)
    if importlib.util.find_spec("langchain_anthropic"):
        from langchain_anthropic import ChatAnthropic

        yield "messages", ChatAnthropic(**{**options, "base_url": ROOT})


def jobs(way, name, model):
    """All jobs with one model."""

    def chat():
        return model.invoke(SAY).text

    def stream():
        return [chunk.text for chunk in model.stream(SAY)]

    def tools(weather):
        @tool("weather")
        def look(place: str) -> str:
            """Tell the weather at a place."""
            return weather(place)

        bound, messages = model.bind_tools([look]), [HumanMessage(CALL)]
        while True:
            answer = bound.invoke(messages)
            if not answer.tool_calls:
                return answer.text
            messages += [answer, *[look.invoke(call) for call in answer.tool_calls]]

    def form(method):
        return lambda: model.with_structured_output(Form, method=method).invoke(ASK)

    run(way, name, chat=chat, stream=stream, tools=tools, json=form("json_schema"))
    run(f"{way}, tool", name, json=form("function_calling"))


for name in MODELS:
    for way, model in models(name):
        jobs(way, name, model)
