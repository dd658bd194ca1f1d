"""OpenAI's Agents SDK for Python, with both of its models."""

from __future__ import annotations

from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from jobs import ASK, CALL, KEY, MODELS, SAY, URL, run
from openai import AsyncOpenAI
from pydantic import BaseModel

# setup
client = AsyncOpenAI(base_url=URL, api_key=KEY)
set_tracing_disabled(True)  # it would go to OpenAI
# end
WAYS = {"chat": OpenAIChatCompletionsModel, "responses": OpenAIResponsesModel}


class Form(BaseModel):
    """The form of the answer."""

    place: str
    degrees: int


def jobs(way, name):
    """All jobs with one model."""
    model = WAYS[way](name, client)

    async def chat():
        return (
            await Runner.run(Agent("a", instructions="Be brief.", model=model), SAY)
        ).final_output

    async def stream():
        streamed = Runner.run_streamed(Agent("a", model=model), SAY)
        events = [event async for event in streamed.stream_events()]
        deltas = [event.data for event in events if event.type == "raw_response_event"]
        return [data.delta for data in deltas if data.type == "response.output_text.delta"]

    async def tools(weather):
        @function_tool(name_override="weather")
        def look(place: str) -> str:
            """Tell the weather at a place."""
            return weather(place)

        return (await Runner.run(Agent("a", model=model, tools=[look]), CALL)).final_output

    async def form():
        return (await Runner.run(Agent("a", model=model, output_type=Form), ASK)).final_output

    run(way, name, chat=chat, stream=stream, tools=tools, json=form)


for name in MODELS:
    for way in WAYS:
        jobs(way, name)
