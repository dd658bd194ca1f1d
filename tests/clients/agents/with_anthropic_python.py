"""Anthropic's client for Python: messages, with its own tool runner."""

from __future__ import annotations

from anthropic import Anthropic, beta_tool
from jobs import ASK, CALL, KEY, MODELS, ROOT, SAY, run
from pydantic import BaseModel

# setup
client = Anthropic(base_url=ROOT, api_key=KEY)
# end
client.max_retries = 0


class Form(BaseModel):
    """The form of the answer."""

    place: str
    degrees: int


def jobs(model):
    """All jobs with one model."""

    def asked(text):
        said = [{"role": "user", "content": text}]
        return {"model": model, "max_tokens": 1000, "messages": said}

    def chat():
        return client.messages.create(**asked(SAY)).content[0].text

    def stream():
        with client.messages.stream(**asked(SAY)) as streamed:
            return list(streamed.text_stream)

    def tools(weather):
        def look(place: str) -> str:
            """Tell the weather at a place."""
            return weather(place)

        look.__name__ = "weather"
        runner = client.beta.messages.tool_runner(**asked(CALL), tools=[beta_tool(look)])
        return runner.until_done().content[0].text

    def form():
        return client.messages.parse(**asked(ASK), output_format=Form).parsed_output

    run("messages", model, chat=chat, stream=stream, tools=tools, json=form)


for name in MODELS:
    jobs(name)
