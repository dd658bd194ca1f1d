"""LlamaIndex, by its model for whatever is like OpenAI's."""

from __future__ import annotations

from jobs import ASK, CALL, KEY, MODELS, SAY, URL, run
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel


class Form(BaseModel):
    """The form of the answer."""

    place: str
    degrees: int


def jobs(name):
    """All jobs with one model."""
    # setup
    model = OpenAILike(
        model=name,
        api_base=URL,
        api_key=KEY,
        is_chat_model=True,
        is_function_calling_model=True,
        context_window=100_000,
    )
    # end

    def chat():
        return model.chat([ChatMessage(role="user", content=SAY)]).message.content

    def stream():
        chunks = model.stream_chat([ChatMessage(role="user", content=SAY)])
        return [chunk.delta for chunk in chunks]

    async def tools(weather):
        def look(place: str) -> str:
            return weather(place)

        tool = FunctionTool.from_defaults(look, name="weather", description="The weather.")
        return str(await FunctionAgent(tools=[tool], llm=model).run(CALL))

    def form():
        return model.as_structured_llm(Form).complete(ASK).raw

    run("chat", name, chat=chat, stream=stream, tools=tools, json=form)


for name in MODELS:
    jobs(name)
