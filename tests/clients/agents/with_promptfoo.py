"""promptfoo: one evaluation for each model, with all of its providers for our dialects."""

from __future__ import annotations

import json

from jobs import MODELS, SAY, run
from programs import Place, program, setup

_QUIET = {"PROMPTFOO_DISABLE_TELEMETRY": "1", "PROMPTFOO_DISABLE_UPDATE": "1"}


def answers(model):
    """The answer of each provider, or its error."""
    with Place() as place:
        tests = json.dumps([{"vars": {"question": SAY}}])
        text = f"{setup('promptfoo.yaml', model)}tests: {tests}\n"
        (place.work / "promptfooconfig.yaml").write_text(text)
        command = [program("promptfoo"), "eval", "--no-cache", "--no-table", "-o", "out.json"]
        place.run(command, PROMPTFOO_FAILED_TEST_EXIT_CODE="0", **_QUIET)
        results = json.loads((place.work / "out.json").read_text())["results"]["results"]
    return {
        result["provider"]["label"]: (result.get("response") or {}).get("output") or result["error"]
        for result in results
    }


for name in MODELS:
    given = answers(name)
    for way, answer in given.items():
        run(way, name, chat=lambda answer=answer: answer)
