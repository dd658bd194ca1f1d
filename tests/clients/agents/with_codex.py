"""Codex, as it runs without a terminal: its own prompts and tools, its shell."""

from __future__ import annotations

import json

from jobs import ASK_FOR_ANY, KEY, MODELS, SAY, run
from programs import WEATHER, Place, program, setup, told_to

_SCHEMA = {
    "type": "object",
    "properties": {"place": {"type": "string"}, "degrees": {"type": "integer"}},
    "required": ["place", "degrees"],
    "additionalProperties": False,
}


def jobs(model):
    """All jobs with one model; it streams always."""

    def said(place, question, *arguments):
        folder = place.home / ".codex"
        folder.mkdir()
        (folder / "config.toml").write_text(setup("codex.toml", model))
        command = [program("codex"), "exec", "--skip-git-repo-check", *arguments, question]
        return place.run(command, INFERWORKS_KEY=KEY)

    def chat():
        with Place() as place:
            return said(place, SAY)

    def tools(weather):
        with Place() as place:
            told = told_to("exec_command", {"cmd": WEATHER})
            answer = said(place, told, "--dangerously-bypass-approvals-and-sandbox")
            place.tell(weather)
        return answer

    def form():
        with Place() as place:
            file = place.work / "schema.json"
            file.write_text(json.dumps(_SCHEMA))
            return json.loads(said(place, ASK_FOR_ANY, "--output-schema", str(file)))

    run("responses", model, chat=chat, tools=tools, json=form)


for name in MODELS:
    jobs(name)
