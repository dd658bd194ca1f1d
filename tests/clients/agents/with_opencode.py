"""opencode, as it runs without a terminal: its own prompts and tools, its shell."""

from __future__ import annotations

import json

from jobs import MODELS, SAY, run
from programs import WEATHER, Place, program, setup, told_to

_QUIET = {
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    "OPENCODE_DISABLE_SHARE": "1",
}


def jobs(model):
    """All jobs with one model; it streams always."""

    def said(place, question):
        (place.work / "opencode.json").write_text(setup("opencode.json", model))
        printed = place.run([program("opencode"), "run", "--format", "json", question], **_QUIET)
        events = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
        return "".join(event["part"]["text"] for event in events if event["type"] == "text")

    def chat():
        with Place() as place:
            return said(place, SAY)

    def tools(weather):
        with Place() as place:
            told = told_to("bash", {"command": WEATHER, "description": "Ask for the weather"})
            answer = said(place, told)
            place.tell(weather)
        return answer

    run("responses", model, chat=chat, tools=tools)


for name in MODELS:
    jobs(name)
