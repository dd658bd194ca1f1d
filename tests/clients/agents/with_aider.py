"""aider, as it runs without a terminal; its tool is the edit of a file, which a model writes as text."""

from __future__ import annotations

import json

from jobs import MODELS, RESULT, SAY, WORDS, run
from programs import Place, exported, program

_OPTIONS = (
    "--yes-always", "--no-git", "--no-analytics", "--no-check-update", "--no-show-model-warnings",
    "--no-pretty", "--no-detect-urls", "--edit-format", "whole",
)  # fmt: skip


def jobs(model):
    """All jobs with one model."""

    def said(place, *arguments):
        variables = {**exported("aider.sh", model), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        return place.run([program("aider"), *_OPTIONS, *arguments], **variables)

    def chat():
        with Place() as place:
            printed = said(place, "--no-stream", "--chat-mode", "ask", "--message", SAY)
        return WORDS if WORDS in printed else printed

    def tools(weather):
        edit = f"weather.txt\n```\n{RESULT}\n```\n"
        with Place() as place:
            (place.work / "weather.txt").write_text("Rain.\n")
            question = f"Bring it up to date. SAY {json.dumps(edit)}"
            said(place, "--message", question, "weather.txt")
            written = (place.work / "weather.txt").read_text()
        weather("Rome")
        return written

    run("chat", model, chat=chat, tools=tools)


for name in MODELS:
    jobs(name)
