"""instructor: types as answers, by each of the means that it has."""

from __future__ import annotations

import anthropic
import instructor
import openai
from jobs import ASK, ASK_FOR_ANY, KEY, MODELS, ROOT, URL, run
from pydantic import BaseModel

# setup
chats = instructor.from_openai(
    openai.OpenAI(base_url=URL, api_key=KEY),
)
messages = instructor.from_anthropic(
    anthropic.Anthropic(base_url=ROOT, api_key=KEY),
)
# end

OPENAI = {
    "chat, tool": (instructor.Mode.TOOLS, ASK),
    "chat, schema": (instructor.Mode.JSON_SCHEMA, ASK),
    "chat, object": (instructor.Mode.JSON, ASK_FOR_ANY),
    "responses, tool": (instructor.Mode.RESPONSES_TOOLS, ASK),
}
ANTHROPIC = {
    "messages, tool": (instructor.Mode.ANTHROPIC_TOOLS, ASK),
    "messages, text": (instructor.Mode.ANTHROPIC_JSON, ASK_FOR_ANY),
}


class Form(BaseModel):
    """The form of the answer."""

    place: str
    degrees: int


def form(client, model, question, **more):
    """The job, with a client that has its mode."""
    said = [{"role": "user", "content": question}]
    asked = {"model": model, "response_model": Form, "max_retries": 1, "messages": said, **more}
    return lambda: client.chat.completions.create(**asked)


for name in MODELS:
    for way, (mode, question) in OPENAI.items():
        client = instructor.from_openai(chats.client, mode=mode)
        run(way, name, json=form(client, name, question))
    for way, (mode, question) in ANTHROPIC.items():
        client = instructor.from_anthropic(messages.client, mode=mode)
        run(way, name, json=form(client, name, question, max_tokens=1000))
