"""pydantic-ai: its three kinds of model; the form of an answer is asked for by the model's own means."""

from __future__ import annotations

from jobs import ASK, CALL, KEY, MODELS, ROOT, SAY, URL, run
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

# setup
openai = OpenAIProvider(base_url=URL, api_key=KEY)
anthropic = AnthropicProvider(base_url=ROOT, api_key=KEY)
# end


class Weather(BaseModel):
    """The form of the answer."""

    place: str
    degrees: int


def jobs(way, name, model):
    """All jobs with one model."""

    async def chat():
        return (await Agent(model, instructions="Be brief.").run(SAY)).output

    async def stream():
        async with Agent(model).run_stream(SAY) as streamed:
            return [piece async for piece in streamed.stream_text(delta=True, debounce_by=None)]

    async def tools(weather):
        agent = Agent(model)

        @agent.tool_plain(name="weather")
        def _weather(place: str) -> str:
            return weather(place)

        return (await agent.run(CALL)).output

    async def by_native_means():
        return (await Agent(model, output_type=NativeOutput(Weather)).run(ASK)).output

    async def by_a_tool():
        return (await Agent(model, output_type=Weather).run(ASK)).output

    run(way, name, chat=chat, stream=stream, tools=tools)
    if (
        way != "messages" or "claude" in name
    ):  # it knows that no other model has a form for messages
        run(way, name, json=by_native_means)
    run(f"{way}, tool", name, json=by_a_tool)


for name in MODELS:
    jobs("chat", name, OpenAIChatModel(name, provider=openai))
    jobs("responses", name, OpenAIResponsesModel(name, provider=openai))
    jobs("messages", name, AnthropicModel(name, provider=anthropic))
