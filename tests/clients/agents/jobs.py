"""The jobs that every client does, and whether it did them: what the drivers of Python's clients share.

A driver is started once for each client, in the client's own environment (nothing of ours is installed
there), and calls `run` for each way and model. A line of JSON tells of each job:

    {"way": "chat", "model": "gpt-5-mini", "job": "tools", "failed": "", "seconds": 0.12}

The models do as a question says (`inferworks.testing.upstreams.tool_calling`): so a stream is seen to come
in pieces, a tool to be called by the client's own loop, and its result to have come back to the model.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import signal
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

URL = os.environ["GATEWAY_URL"]
ROOT = os.environ["GATEWAY_ROOT"]
KEY = os.environ["GATEWAY_KEY"]
MODELS = os.environ["GATEWAY_MODELS"].split()
FOLDER = Path(os.environ["CLIENT_FOLDER"])
"""Folder in which the client is installed."""

WORDS = "Good morning from behind the door."
SAY = f"Greet me. SAY {json.dumps(WORDS)}"
CALL = 'How is the weather? CALL weather {"place": "Rome"}'
RESULT = "Sunny in Rome, 21 degrees."
ASK = "How is the weather in 'Rome'? It has 21 degrees. Answer in JSON."
WANTED = {"place": "Rome", "degrees": 21}
ASK_FOR_ANY = f"{ASK} SAY {json.dumps(json.dumps(WANTED))}"
"""Question for requests without a schema, or with none that the model is held to."""

_JOB_S = 120
_LOOP = asyncio.new_event_loop()


class Weather:
    """The tool: it knows what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, place: str) -> str:
        """Tell the weather at a place."""
        self.asked.append(place)
        return RESULT


def run(way: str, model: str, **jobs: Callable[..., Any]) -> None:
    """Do some of the jobs `chat`, `stream`, `tools` and `json`, each by a function that may be async.

    `chat` returns the answer; `stream` its pieces; `tools` is given a `Weather` and returns the last
    answer; `json` returns the object.
    """
    for job, do in jobs.items():
        start = time.monotonic()
        failed = _failure(job, do)
        told = {"way": way, "model": model, "job": job, "failed": failed}
        print(json.dumps({**told, "seconds": round(time.monotonic() - start, 3)}), flush=True)


def _failure(job: str, do: Callable[..., Any]) -> str:
    """Reason why the job was not done; empty when it was."""
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(_JOB_S)
    try:
        weather = Weather()
        got = _waited(do(weather) if job == "tools" else do())
        return _CHECKS[job](got, weather)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        if os.environ.get("CLIENT_TRACE"):
            traceback.print_exc()
        return f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)


def _too_long(*_: object) -> None:
    raise TimeoutError(f"not done after {_JOB_S} s")


def _waited(got: Any) -> Any:
    return _LOOP.run_until_complete(got) if inspect.isawaitable(got) else got


def _chat(got: Any, _: Weather) -> str:
    return "" if str(got).strip() == WORDS else f"it said {got!r}"


def _stream(got: Any, _: Weather) -> str:
    pieces = [piece for piece in got if piece]
    if len(pieces) < 2:
        return f"it came in one piece: {pieces!r}"
    return _chat("".join(pieces), _)


def _tools(got: Any, weather: Weather) -> str:
    if weather.asked != ["Rome"]:
        return f"the tool was asked {weather.asked!r}"
    return "" if RESULT in str(got) else f"the result did not come back: {got!r}"


def _json(got: Any, _: Weather) -> str:
    fields = got if isinstance(got, Mapping) else vars(got)
    found = {name: fields.get(name) for name in WANTED}
    return "" if found == WANTED else f"it is {got!r}"


_CHECKS: Mapping[str, Callable[[Any, Weather], str]] = {
    "chat": _chat, "stream": _stream, "tools": _tools, "json": _json,
}  # fmt: skip
