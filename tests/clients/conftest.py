"""A real gateway, in a process of its own, before upstreams of both dialects that do what they are asked.

The gateway is `inferworks up`, as anybody starts it, with one model for each way through it:

    native     OpenAI's dialect with everything: nothing is translated
    chats      an upstream that has chats only: responses and completions are translated
    claude     Anthropic's dialect: chats are translated, responses by way of chats
    converse   Bedrock's Converse: the same
    ranker     rankings

They call tools and answer in the form that is asked for. Each has a `simple-` sister that says the same to
everything, even to what makes no sense. All upstreams are servers of this process, in a thread.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from inferworks.testing.gateway import Gateway, real_gateway, served
from inferworks.testing.upstream import Answer, open_upstream
from inferworks.testing.upstreams.anthropic import MessageAnswer, open_anthropic
from inferworks.testing.upstreams.bedrock import ConverseAnswer, open_bedrock
from inferworks.testing.upstreams.scripted_server import ScriptedUpstream

__all__ = ["Gateway"]

PROVIDERS = {
    "native": "openai",
    "chats": "arcee",
    "claude": "anthropic",
    "converse": "bedrock",
    "ranker": "jina",
}
"""Model -> the row of the catalogue that its upstream is reached by."""
UPSTREAM = """
[[upstream]]
name = "{model}"
provider = "{provider}"
url = "{url}"
key = "file:key"
region = "eu-central-1"
models = [{{ name = "{model}", upstream = "vendor/{model}" }}]
"""
MODERATOR = """
[[upstream]]
name = "moderator"
provider = "openai"
url = "{url}"
key = "file:key"
models = ["omni-moderation-latest"]
"""
HEAD = "[engine]\nreplicas = 0\n"


LOOP = pytest.StashKey[asyncio.Runner]()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run the coroutines of suites that are not ours, all on one loop, for clients keep connections."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    pyfuncitem.session.stash[LOOP].run(pyfuncitem.obj(**arguments))
    return True


@pytest.fixture(scope="session", autouse=True)
def _loop(request: pytest.FixtureRequest) -> Iterator[None]:
    with asyncio.Runner() as runner:
        request.session.stash[LOOP] = runner
        yield


@pytest.fixture(scope="session")
def upstreams() -> Iterator[dict[str, str]]:
    """The addresses of the upstreams, by model."""
    openings: list[AbstractAsyncContextManager[ScriptedUpstream[Any]]] = []
    for is_able in (True, False):
        openings += [
            open_upstream(Answer(is_able=is_able, cached_tokens=3, reasoning_tokens=1)),
            open_anthropic(MessageAnswer(is_able=is_able, cache_read=2, thinking_tokens=1)),
            open_bedrock(ConverseAnswer(is_able=is_able, cache_read=2)),
        ]
    with served(openings) as urls:
        ready: dict[str, str] = {}
        for prefix, (openai, anthropic, bedrock) in (("", urls[:3]), ("simple-", urls[3:])):
            others = {"anthropic": anthropic, "bedrock": bedrock}
            for model, provider in PROVIDERS.items():
                ready[prefix + model] = others.get(provider, openai)
        yield ready


def configuration(upstreams: dict[str, str]) -> str:
    """An `inferworks.toml` with all of them; OpenAI's also judges for clients that name no model."""
    tables = [
        UPSTREAM.format(model=model, provider=PROVIDERS[model.removeprefix("simple-")], url=url)
        for model, url in upstreams.items()
    ]
    return "".join([HEAD, *tables, MODERATOR.format(url=upstreams["native"])])


@pytest.fixture(scope="session")
def gateway(
    upstreams: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A running gateway before all of them."""
    folder = tmp_path_factory.mktemp("gateway")
    with real_gateway(folder, configuration(upstreams)) as running:
        yield running
