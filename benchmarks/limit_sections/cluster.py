"""Gateways as nodes that share limits through a PostgreSQL of their own.

PostgreSQL runs as it is installed, and waits for the disk with each commit. Where it is not installed,
`CannotRun` says so, and the sections that need it are left out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

from gateways.calls import MODEL, Target
from gateways.processes import Process, free_port, running

CUSTOMER: Final = "acme"
PROJECT: Final = "search"
ORGANISATION: Final = "group"
INPUT_PICO: Final = 500_000
OUTPUT_PICO: Final = 1_500_000
"""Prices of the customer in picounits of a dollar: 0.50 and 1.50 for a million tokens."""
_CONFIG: Final = """
[gateway]
max_calls = 10000
key_pepper = "file:{pepper}"

[engine]
replicas = 0

[store]
url = "{store}"

[[upstream]]
name = "mock"
url = "http://127.0.0.1:{upstream}/v1"
models = ["{model}"]
"""
_INSTALLED: Final = Path("/usr/lib/postgresql")


class CannotRun(Exception):
    """The message says what is missing here."""


@dataclass(frozen=True)
class Postgres:
    """A running server with an empty database."""

    url: str
    process: Process

    def commits(self) -> int:
        """Return the number of transactions so far."""
        with psycopg.connect(self.url) as connection:
            query = "SELECT xact_commit FROM pg_stat_database WHERE datname = 'limits'"
            row = connection.execute(query).fetchone()
        return int(row[0]) if row else 0


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Run a server while the block does, on a socket in a folder of its own."""
    on_path = shutil.which("initdb")
    found = sorted(_INSTALLED.glob("*/bin"), key=lambda path: int(path.parent.name))
    programs = Path(on_path).resolve().parent if on_path else found[-1] if found else None
    if programs is None:
        raise CannotRun("PostgreSQL's initdb is not installed")
    user = "postgres" if os.geteuid() == 0 else ""
    if user and not shutil.which("runuser"):
        raise CannotRun("root cannot run PostgreSQL, and runuser is not installed")
    become = ["runuser", "-u", user, "--"] if user else []
    with tempfile.TemporaryDirectory(prefix="iw-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if user:
            shutil.chown(folder, user)
        subprocess.run([*become, str(programs / "initdb"), "-D", str(folder / "data"), "--auth", "trust"],
                       cwd=folder, check=True, capture_output=True)  # fmt: skip
        options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}"]
        command = [*become, str(programs / "postgres"), "-D", str(folder / "data"), *options]
        with running(command, folder.with_suffix(".log")) as process:
            whose = user or os.environ["USER"]
            base = f"postgresql:///{{}}?host={folder}&user={whose}"
            process.wait_until(lambda: _answers(base.format("postgres")))
            with psycopg.connect(base.format("postgres"), autocommit=True) as connection:
                connection.execute("CREATE DATABASE limits")
            yield Postgres(base.format("limits"), process)
        folder.with_suffix(".log").unlink()


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


@dataclass(frozen=True)
class Node:
    """A running gateway."""

    process: Process
    target: Target


@contextmanager
def nodes(
    folder: Path, count: int, upstream: int, store: str, limits: Sequence[Sequence[str]]
) -> Iterator[list[Node]]:
    """Run `count` gateways with the same key and `limits`, each the options of `limits create`."""
    pepper = folder / "pepper"
    pepper.write_text("a pepper of the benchmark, of no use elsewhere")
    pepper.chmod(0o600)
    settings = _CONFIG.format(pepper=pepper, store=store, upstream=upstream, model=MODEL)
    homes = [folder / f"node{number}" for number in range(1, count + 1)]
    for home in homes:
        home.mkdir()
        (home / "inferworks.toml").write_text(settings)
    first = homes[0]
    prices = ("--input-price", str(INPUT_PICO / 10**6), "--output-price", str(OUTPUT_PICO / 10**6))
    _command(first, "organisations", "create", ORGANISATION)
    _command(first, "customers", "create", CUSTOMER, *prices, "--currency", "USD")
    _command(first, "organisations", "put-in", ORGANISATION, CUSTOMER)
    made = ("keys", "create", "--customer", CUSTOMER, "--project", PROJECT, "--json")
    secret = json.loads(_command(first, *made))["key"]
    for limit in limits:
        _command(first, "limits", "create", *limit)
    for home in homes[1:]:
        shutil.copytree(first / "inferworks-data", home / "inferworks-data")
    with ExitStack() as stack:
        found = []
        for home in homes:
            port = free_port()
            command = [sys.executable, "-m", "inferworks", "up", "--port", str(port)]
            where = [
                "--config",
                str(home / "inferworks.toml"),
                "--data",
                str(home / "inferworks-data"),
            ]
            process = stack.enter_context(running([*command, *where], home / "log"))
            target = Target(port, headers=(("authorization", f"Bearer {secret}"),))
            found.append(Node(process, target))
        for node, home in zip(found, homes, strict=True):
            node.process.wait_until(lambda home=home: "Ctrl-C stops." in (home / "log").read_text())
        yield found


def _command(home: Path, *words: str) -> str:
    """Return what a command says in the folder `home`."""
    command = [sys.executable, "-m", "inferworks", *words]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotRun(f"inferworks {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
