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
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack

import msgspec
import pytest
import uvloop

from inferworks.testing.platform import real_platform
from inferworks.testing.upstream import Answer, open_upstream
from inferworks.testing.upstreams.anthropic import MessageAnswer, open_anthropic
from inferworks.testing.upstreams.bedrock import TOKEN, ConverseAnswer, open_bedrock

PROVIDERS = {
    "native": "openai",
    "chats": "deepseek",
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


class Gateway(msgspec.Struct, frozen=True):
    """Where the gateway is, and a key for it."""

    url: str
    """With `/v1`, as OpenAI's clients want it."""
    key: str

    @property
    def root(self) -> str:
        """Without it, as Anthropic's clients want it."""
        return self.url.removesuffix("/v1")


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
    ready: dict[str, str] = {}
    started = threading.Event()
    loop = uvloop.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with AsyncExitStack() as stack:
            for prefix, is_able in (("", True), ("simple-", False)):
                answer = Answer(is_able=is_able, cached_tokens=3, reasoning_tokens=1)
                openai = await stack.enter_async_context(open_upstream(answer))
                message = MessageAnswer(is_able=is_able, cache_read=2, thinking_tokens=1)
                anthropic = await stack.enter_async_context(open_anthropic(message))
                bedrock = await stack.enter_async_context(
                    open_bedrock(ConverseAnswer(is_able=is_able, cache_read=2))
                )
                others = {"anthropic": anthropic, "bedrock": bedrock}
                for model, provider in PROVIDERS.items():
                    ready[prefix + model] = others.get(provider, openai).origin.url
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert started.wait(10)
        yield ready
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


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
    """A running gateway; what it has logged is shown when it does not end well."""
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "key").write_text(TOKEN)
    with pytest.MonkeyPatch.context() as patch:
        (folder / "inferworks.toml").write_text(configuration(upstreams))
        with real_platform(folder / "data") as platform:
            key = platform.key()
            patch.chdir(folder)
            origin = platform.start()
            patch.undo()  # this lives as long as all tests, and only the gateway wants to be there
            yield Gateway(str(origin.url), key)
            log = platform.log()
            assert platform.stop() == 0, log
            assert "Traceback" not in log, log
