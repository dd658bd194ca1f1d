"""Serve fakes of vendors, to try a configuration: `python -m inferworks.testing.upstreams DIALECT ...`.

They are the fakes of our own tests: they refuse what the vendor refuses, in its words, and ask for a key in
its way. A question is answered as by a capable model, which calls the offered tools and answers in the
requested form; its tokens are free.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import click
import uvloop

from inferworks.http.server import Exchange, HttpServer
from inferworks.testing.upstream import FakeUpstream
from inferworks.testing.upstreams import azure, bedrock, vendors, vertex
from inferworks.testing.upstreams.anthropic import FakeAnthropic, MessageAnswer
from inferworks.testing.upstreams.bedrock_claude import FakeBedrockClaude
from inferworks.testing.upstreams.script import Answer, Fault, Scripted
from inferworks.testing.upstreams.scripted_server import ScriptedUpstream
from inferworks.visible import visible

_LOOPBACK: Final = "127.0.0.1"
_ANY_KEY: Final = "any"
_REGION: Final = 'region = "eu-central-1"\n'

Make = Callable[[Scripted], ScriptedUpstream[Any]]


class Dialect(NamedTuple):
    """A fake, and how it is configured; its name is that of the provider."""

    make: Callable[[Any], ScriptedUpstream[Any]]
    answer: type[Scripted]
    model: str
    key: str = _ANY_KEY
    """The one that it takes."""
    more: str = ""
    """Further settings of its upstream."""


DIALECTS: Final[Mapping[str, Dialect]] = {
    "openai": Dialect(lambda a: FakeUpstream([a]), Answer, "gpt-5-mini"),
    "deepseek": Dialect(
        lambda a: FakeUpstream([a], vendors.DEEPSEEK), Answer, "deepseek-chat"
    ),
    "mistral": Dialect(
        lambda a: FakeUpstream([a], vendors.MISTRAL), Answer, "mistral-small-latest"
    ),
    "vllm": Dialect(lambda a: FakeUpstream([a], vendors.VLLM), Answer, "qwen3-8b"),
    "azure": Dialect(lambda a: azure.FakeAzure([a]), Answer, "gpt-5-mini", azure.KEY),
    "vertex": Dialect(
        lambda a: vertex.FakeGemini([a]), Answer, "gemini-2.5-flash", vertex.TOKEN
    ),
    "anthropic": Dialect(lambda a: FakeAnthropic([a]), MessageAnswer, "claude-sonnet-4-5"),
    "vertex-anthropic": Dialect(
        lambda a: vertex.FakeVertexClaude([a]), MessageAnswer, "claude-sonnet-4-5", vertex.TOKEN
    ),
    "bedrock": Dialect(
        lambda a: bedrock.FakeBedrock([a], bedrock.KEY),
        bedrock.ConverseAnswer, "amazon.nova-pro-v1:0", bedrock.TOKEN, _REGION,
    ),
    "bedrock-anthropic": Dialect(
        lambda a: FakeBedrockClaude([a]),
        MessageAnswer, "anthropic.claude-sonnet-4-5-20250929-v1:0", bedrock.TOKEN, _REGION,
    ),
}  # fmt: skip


class Served(NamedTuple):
    """A fake that is to be served, and where."""

    name: str
    upstream: ScriptedUpstream[Any]
    server: HttpServer

    async def start(self, port: int) -> str:
        """Start the fake and return its address. OSError when the port is taken."""
        got = await self.server.start(_LOOPBACK, port)
        return f"http://{_LOOPBACK}:{got}{self.upstream.base_path}"


def served(name: str, status: int, fault: Fault) -> Served:
    """Return the fake of `name`, with a server that prints its requests and keeps none."""
    dialect = DIALECTS[name]
    scripted = dialect.answer(is_able=True, status=status, fault=fault, fault_after=1)
    upstream = dialect.make(scripted)
    listed = {"object": "list", "data": [{"id": dialect.model, "object": "model"}]}

    async def handle(exchange: Exchange) -> None:
        asked = f"{exchange.method} {exchange.path}"
        if exchange.method == "GET" and exchange.path == f"{upstream.base_path}/models":
            await exchange.respond(200, json.dumps(listed).encode())
        else:
            await upstream.handle(exchange)
        for attribute, kept in vars(upstream).items():
            if isinstance(kept, list) and not attribute.startswith("_"):
                kept.clear()  # its memory is for tests
        click.echo(visible(f"{name}: {asked[:500]} {exchange.status}"), err=True)

    server = HttpServer(
        handle,
        on_error=lambda error: click.echo(visible(f"{name}: cut off: {error!r}"), err=True),
    )
    return Served(name, upstream, server)


def configuration(name: str, url: str) -> str:
    """The `[[upstream]]` table that has a gateway ask it, below the key that it takes."""
    dialect = DIALECTS[name]
    return (
        f"# export {_variable(name)}={dialect.key}\n[[upstream]]\n"
        f'name = "{name}"\nprovider = "{name}"\nurl = "{url}"\nkey = "env:{_variable(name)}"\n'
        f'models = ["{dialect.model}"]\n{dialect.more}'
    )


def _variable(name: str) -> str:
    return f"FAKE_{name.replace('-', '_').upper()}_KEY"


async def serve(fakes: Sequence[Served], port: int) -> None:
    """Serve them until SIGINT or SIGTERM, the first at `port` (0: each at a free one)."""
    stopped = asyncio.Event()
    for ends in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(ends, stopped.set)
    async with contextlib.AsyncExitStack() as stack:
        for number, fake in enumerate(fakes):
            stack.push_async_callback(fake.server.stop, 0.0)
            wanted = port + number if port else 0
            try:
                url = await fake.start(wanted)
            except OSError as error:
                raise click.ClickException(
                    f"port {wanted} cannot be had: {error.strerror}; name another with --port"
                ) from error
            click.echo(url)
            click.echo(configuration(fake.name, url), err=True)
        click.echo("Ctrl-C stops.", err=True)
        await stopped.wait()


@click.command(short_help="Serve fakes of vendors.")
@click.argument("dialects", metavar="[DIALECT]...", nargs=-1, type=click.Choice(list(DIALECTS)))
@click.option(
    "--port", type=click.IntRange(0, 65_535 - len(DIALECTS)), default=0,
    help="Port of the first; the others follow.  [default: free ones]",
)  # fmt: skip
@click.option(
    "--status", type=click.IntRange(200, 599), default=200, show_default=True,
    help="Answer every request with this status; from 400 on with the vendor's error body.",
)  # fmt: skip
@click.option(
    "--fault", type=click.Choice([fault.name.lower() for fault in Fault]), default="none",
    show_default=True, help="Fault of every answer after its first event.",
)  # fmt: skip
def main(dialects: tuple[str, ...], port: int, status: int, fault: str) -> None:
    """Serve strict fakes of vendors on this machine, to try a configuration at.

    DIALECT is a provider: openai (unless another is named), deepseek, mistral, vllm, azure, vertex,
    anthropic, vertex-anthropic, bedrock, bedrock-anthropic. Standard output has the base URL of each;
    standard error has the table of a configuration and the key that it takes, and then a line for each
    request. They call the tools they are offered, or do what a question says: CALL name {"argument": 1},
    SAY "words".

    \b
    Examples:
      python -m inferworks.testing.upstreams
      python -m inferworks.testing.upstreams openai anthropic --port 9001
      python -m inferworks.testing.upstreams bedrock --status 429
    """
    names = list(dict.fromkeys(dialects)) or ["openai"]
    how = Fault[fault.upper()]
    uvloop.run(serve([served(name, status, how) for name in names], port))


if __name__ == "__main__":
    main(prog_name="python -m inferworks.testing.upstreams")
