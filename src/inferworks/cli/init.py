"""`inferworks init`: a configuration file to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from inferworks.cli.config import write_new
from inferworks.cli.options import FilePath
from inferworks.cli.show import say
from inferworks.config import FILE_NAME

TEMPLATE: Final = """\
# The configuration of an Inferworks gateway; docs/configuration.md has every setting.
# Changes of upstreams and models are taken up within a second, while calls run.

[gateway]
# host = "0.0.0.0"      # to be reached from other machines; put TLS before it
port = 8080

[data]
folder = "./inferworks-data"

[log]
access = "off"          # "text" or "json": a line for each call, to standard error

# An account at a provider (docs/providers.md), or an engine of your own. Keys by reference only.
# [[upstream]]
# name = "openai"
# provider = "openai"
# key = "env:OPENAI_API_KEY"
# models = ["gpt-5-mini"]

# [[upstream]]
# name = "ours"
# provider = "vllm"
# url = "http://10.0.0.7:8000/v1"
# models = ["llama-3.3-70b"]

# What callers ask for, where that is not the upstream's own name (docs/routing.md).
# [[model]]
# name = "assistant"
# offers = ["openai/gpt-5-mini", "ours/llama-3.3-70b"]
# strategy = "fallback"
"""


@click.command(short_help="Write a configuration file to begin with.")
@click.option(
    "--out", type=FilePath(folders=False), default=Path(FILE_NAME),
    show_default=True, help="File to write; nothing is overwritten.",
)  # fmt: skip
def init(out: Path) -> None:
    """Write a configuration file with the essential settings, explained.

    \b
    Examples:
      inferworks init
      inferworks init --out /etc/inferworks/inferworks.toml
    """
    write_new(out, TEMPLATE)
    say(f"{out} is written. Edit it, then: inferworks config check, inferworks up")
