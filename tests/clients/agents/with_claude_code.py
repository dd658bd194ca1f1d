"""Claude Code, as it runs without a terminal: its own prompts and tools, its shell."""

from __future__ import annotations

import json

from jobs import MODELS, SAY, WANTED, run
from programs import WEATHER, Place, exported, program, told_to

_QUIET = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_TELEMETRY": "1",
}
"""Nothing else is asked of its vendor."""
_SCHEMA = {
    "type": "object",
    "properties": {"place": {"type": "string"}, "degrees": {"type": "integer"}},
    "required": ["place", "degrees"],
    "additionalProperties": False,
}


def jobs(model):
    """All jobs with one model."""

    def said(place, *arguments):
        command = [program("claude"), "-p", *arguments]
        return place.run(command, **_QUIET, **exported("claude-code.sh", model))

    def chat():
        with Place() as place:
            return said(place, SAY)

    def stream():
        options = ("--output-format", "stream-json", "--verbose", "--include-partial-messages")
        with Place() as place:
            events = [json.loads(line) for line in said(place, SAY, *options).splitlines()]
        deltas = [event["event"].get("delta", {}) for event in events if "event" in event]
        return [delta.get("text", "") for delta in deltas]

    def tools(weather):
        with Place() as place:
            told = told_to("Bash", {"command": WEATHER, "description": "Ask for the weather"})
            answer = said(place, told, "--allowedTools", "Bash(./weather:*)")
            place.tell(weather)
        return answer

    def form():
        with Place() as place:
            told = told_to("StructuredOutput", WANTED)
            options = ("--output-format", "json", "--json-schema", json.dumps(_SCHEMA))
            return json.loads(said(place, told, *options))["structured_output"]

    run("messages", model, chat=chat, stream=stream, tools=tools, json=form)


for name in MODELS:
    jobs(name)
