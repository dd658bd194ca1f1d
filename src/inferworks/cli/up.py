"""`inferworks up`: run the platform until Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path

import click
import msgspec
import uvloop

from inferworks.cli.last_resort import GRACE_S, LastResort
from inferworks.cli.options import config_option, data_option, read_config
from inferworks.cli.process import is_full, settle, tune
from inferworks.cli.show import say
from inferworks.config import FILE_NAME, Config
from inferworks.log import LogHandler, keep_log
from inferworks.outlet import check_standard_streams, replace_standard_output
from inferworks.supervise import ending
from inferworks.wiring import ConfigSource, Platform, open_platform

_TELL_S = 10.0
"""Seconds between log lines about the repeats in past minutes."""

_ROOM_S = 1.0
"""Seconds to wait for room on the disk before the next try."""

_log = logging.getLogger("inferworks.up")

_FIRST_STEPS = """\
Your first API key, shown only this once:

  {key}

A first call with curl:

curl {url}/chat/completions \\
  -H "Authorization: Bearer {key}" \\
  -H "Content-Type: application/json" \\
  -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "What is gross margin?"}}]}}'

The same in Python (pip install openai):

from openai import OpenAI

client = OpenAI(base_url="{url}", api_key="{key}")
answer = client.chat.completions.create(
    model="{model}",
    messages=[{{"role": "user", "content": "What is gross margin?"}}],
)
print(answer.choices[0].message.content)
"""
"""Lines to paste; the secret is shown nowhere else."""

_NO_MODELS = "none yet; name an [[upstream]] in inferworks.toml (docs/configuration.md)"


@click.command(short_help="Run the platform until Ctrl-C.")
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one.  [default: 8080]"
)
@click.option(
    "--workers",
    type=click.IntRange(0, 64),
    help="Processes that serve calls; 0: one for each core, at most 8.  [default: 1]",
)
@click.option(
    "--until-eof",
    is_flag=True,
    help="Stop when standard input ends, for instance with the parent process.",
)
@config_option
@data_option
def up(
    host: str | None,
    port: int | None,
    workers: int | None,
    until_eof: bool,
    config_path: Path | None,
    data_path: Path | None,
) -> None:
    """Run the platform: gateway, one replica of the embedded engine, meter.

    The first start makes an API key and shows it once; run as a service, it keeps it in the data
    folder instead, since a log is no place for it. Changes of upstreams and models in the
    configuration file take effect within a second, or at SIGHUP, while calls run. Ctrl-C lets
    running answers finish (gateway.drain_s at most), then stops; a second Ctrl-C stops at once.

    \b
    Examples:
      inferworks up
      inferworks up --port 9000 --data /var/lib/inferworks
      inferworks up --workers 4
    """
    log = keep_log()
    replace_standard_output()
    tune()

    def read() -> Config:
        config = read_config(config_path, data_path)
        gateway = msgspec.structs.replace(
            config.gateway,
            host=host or config.gateway.host,
            port=config.gateway.port if port is None else port,
            workers=config.gateway.workers if workers is None else workers,
        )
        return msgspec.structs.replace(config, gateway=gateway)

    source = ConfigSource(config_path or Path(FILE_NAME), read)
    config = read()
    resort = LastResort(config.gateway.drain_wait_s + config.gateway.drain_s + GRACE_S)
    try:
        ended = uvloop.run(_run(config, source, log, resort, until_eof=until_eof))
    finally:
        resort.over()  # no thread is left that the interpreter would wait for
    if ended:
        raise click.ClickException(f"stopped, since what cannot be begun again has ended: {ended}")


async def _run(
    config: Config, source: ConfigSource, log: LogHandler, resort: LastResort, *, until_eof: bool
) -> str:
    """Run until told to stop, or until vital work ends; the names of such work."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        resort.told()
        stopping.set()

    def stop_or_quit() -> None:
        if stopping.is_set():
            raise KeyboardInterrupt
        stop()

    if until_eof:
        loop.add_reader(sys.stdin.fileno(), _stop_at_eof, stop)
    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_signal_handler(signal.SIGINT, stop_or_quit)
    async with AsyncExitStack() as stack:
        platform = await _opened(stack, config, source, stopping)
        if platform is None:
            return ""
        loop.add_signal_handler(signal.SIGHUP, platform.reload)
        say(*_greeting(platform))
        settle()
        async with ending(platform.supervisor.every(_TELL_S, "log", partial(_see_to, log))):
            platform.supervisor.on_end = lambda _: loop.call_soon_threadsafe(stop)
            if not platform.supervisor.ended():
                await stopping.wait()
        resort.told()
        say("Stopping: running answers are finished first. Ctrl-C again stops at once.")
    say("Stopped.")
    return ", ".join(platform.supervisor.ended())


async def _opened(
    stack: AsyncExitStack, config: Config, source: ConfigSource, stopping: asyncio.Event
) -> Platform | None:
    """The platform, once its disk has room for it; None when told to stop before that."""
    while not stopping.is_set():
        try:
            return await stack.enter_async_context(open_platform(config, os.environ, source))
        except Exception as error:
            if not is_full(error):
                raise
            _log.warning("there is no room to start; trying again until there is: %s", error)
        with suppress(TimeoutError):
            async with asyncio.timeout(_ROOM_S):
                await stopping.wait()
    return None


def _see_to(log: LogHandler) -> None:
    """Write the repeats of the log; TimeoutError when its reader takes nothing."""
    log.tell()
    check_standard_streams()


def _stop_at_eof(stop: Callable[[], None]) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        stop()


def _greeting(platform: Platform) -> list[str]:
    model = next(iter(platform.models), "")
    lines = [
        f"Inferworks is ready at {platform.url}",
        f"  models  {', '.join(platform.models) or _NO_MODELS}",
        f"  data    {platform.folder.path}",
        *([f"  workers {platform.workers}"] if platform.workers > 1 else []),
        f"  pages   {platform.url.removesuffix('/v1')}/docs",
    ]
    if platform.first_key and _is_service_log(sys.stdout.fileno()):
        path = platform.folder.keep_first_key(platform.first_key)
        lines += [
            "",
            f"Your first API key is in {path}, since this is a log. Use it and remove it.",
        ]
    elif platform.first_key and not model:
        lines += ["", "Your first API key, shown only this once:", "", f"  {platform.first_key}"]
    elif platform.first_key:
        texts = {"url": platform.url, "key": platform.first_key, "model": model}
        lines += ["", *(line.format(**texts) for line in _FIRST_STEPS.splitlines())]
    else:
        lines += ["", "Make an API key with: inferworks keys create"]
    return [*lines, "", "Ctrl-C stops."]


def _is_service_log(descriptor: int) -> bool:
    """Return whether `descriptor` is a log kept by the service manager that runs us.

    That is systemd's journal, whatever else systemd was told to write to, or what a container prints.
    A terminal, a pipe and a file that somebody chose are not.
    """
    if os.isatty(descriptor):
        return False
    status = os.fstat(descriptor)
    is_journal = os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
    is_service = os.environ.get("SYSTEMD_EXEC_PID") == str(os.getpid())
    return is_journal or is_service or os.getpid() == 1
