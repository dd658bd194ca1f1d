"""Run common clients against a gateway of ours, and report which did their jobs.

    python tools/clients.py [--only NAME,...] [--json] [--write] [--folder FOLDER]

Clients and versions stand in `tests/clients/agents/clients.toml`. Each client is
installed in a folder of its own below FOLDER (`~/.cache/inferworks-clients`), once, and is driven there by
a small program that does its normal jobs: a chat, a stream, a loop with a tool, an answer in a form that is
asked for. The gateway is `inferworks up` with its usual settings and three upstreams, fakes as strict as
the vendors they stand for: OpenAI's, Anthropic's, and Bedrock's Converse. Nothing leaves this machine but
the installations.

A client that cannot be installed is reported in one line and stops no other. The exit status is 1 when a
job was not done. With `--write` the table goes to docs/clients.md.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from inferworks.testing.gateway import KEY_FILE, Gateway, real_gateway, served
from inferworks.testing.upstream import Answer, open_upstream
from inferworks.testing.upstreams.anthropic import MessageAnswer, open_anthropic
from inferworks.testing.upstreams.bedrock import ConverseAnswer, open_bedrock

ROOT = Path(__file__).parent.parent
DRIVERS = ROOT / "tests" / "clients" / "agents"
DOCUMENT = ROOT / "docs" / "clients.md"
FOLDER = Path.home() / ".cache" / "inferworks-clients"

MODELS = {"openai": "gpt-5-mini", "anthropic": "claude-sonnet-4-5", "converse": "nova-pro"}
"""Upstream -> the model that is asked for, unless a client wants another."""
CONFIGURATION = """
[[upstream]]
name = "openai"
provider = "openai"
url = "{openai}"
key = "file:{key}"
models = ["gpt-5-mini", "gpt-4.1-mini", "text-embedding-3-small"]

[[upstream]]
name = "anthropic"
provider = "anthropic"
url = "{anthropic}"
key = "file:{key}"
models = ["claude-sonnet-4-5"]

[[upstream]]
name = "converse"
provider = "bedrock"
url = "{converse}"
key = "file:{key}"
region = "eu-central-1"
models = [{{ name = "nova-pro", upstream = "amazon.nova-pro-v1:0" }}]
"""
JOBS = {"chat": "c", "stream": "s", "tools": "t", "json": "j"}
"""Job -> its mark."""
AT_ONCE = 2
_INSTALL_S = 900
_CLIENT_S = 900
_WIDTH = 79
_NOWHERE = "http://127.0.0.1:9"


class Client(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row of `clients.toml`."""

    driver: str
    pip: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()
    setup: str = ""
    scripts: bool = False
    models: dict[str, str] = {}
    cannot: dict[str, tuple[str, ...]] = {}
    note: str = ""

    @property
    def version(self) -> str:
        """Version of its first package."""
        return re.split("@|==", (self.pip or self.npm)[0])[-1]

    def served(self) -> dict[str, str]:
        """Model -> its upstream."""
        return {model: upstream for upstream, model in ({**MODELS, **self.models}).items()}


class Done(msgspec.Struct, frozen=True):
    """A job of a client, done or not."""

    way: str
    model: str
    job: str
    seconds: float
    failed: str = ""
    """Reason why it was not done; empty if it was."""
    refused: bool = False
    """Rightly; then nothing has failed."""


class Outcome(msgspec.Struct, frozen=True):
    """Outcome of a client."""

    name: str
    version: str
    jobs: tuple[Done, ...] = ()
    failed: str = ""
    """Reason why nothing, or not all, was tried; empty if all was."""


def clients() -> dict[str, Client]:
    """All that there are, by name."""
    text = (DRIVERS / "clients.toml").read_bytes()
    return msgspec.toml.decode(text, type=dict[str, Client])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen clients; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="names, with commas between them")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--write", action="store_true", help="write the table to docs/clients.md")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where they are installed")
    asked = parser.parse_args(arguments)
    chosen = clients()
    if asked.only:
        names = [name.strip() for name in asked.only.split(",")]
        if unknown := [name for name in names if name not in chosen]:
            parser.error(f"{', '.join(unknown)}: not among {', '.join(chosen)}")
        chosen = {name: chosen[name] for name in names}
    outcomes = run_all(chosen, asked.folder.expanduser().absolute())
    if asked.json:
        print(msgspec.json.format(msgspec.json.encode(outcomes)).decode())
    else:
        print("\n".join([*table(outcomes), "", *troubles(outcomes)]))
    if asked.write:
        write(outcomes)
    return any(outcome.failed or any(job.failed for job in outcome.jobs) for outcome in outcomes)


def run_all(chosen: Mapping[str, Client], folder: Path) -> list[Outcome]:
    """Install and drive clients, two at once, each at the same gateway."""
    openings = [
        open_upstream(Answer(is_able=True, cached_tokens=3, reasoning_tokens=1)),
        open_anthropic(MessageAnswer(is_able=True, cache_read=2)),
        open_bedrock(ConverseAnswer(is_able=True, cache_read=2)),
    ]
    with TemporaryDirectory() as temporary, served(openings) as urls:
        configuration = CONFIGURATION.format(**dict(zip(MODELS, urls, strict=True)), key=KEY_FILE)
        with (
            real_gateway(Path(temporary), configuration) as gateway,
            ThreadPoolExecutor(AT_ONCE) as pool,
        ):
            rows = chosen.items()
            return list(pool.map(lambda row: run_one(*row, folder / row[0], gateway), rows))


def run_one(name: str, client: Client, folder: Path, gateway: Gateway) -> Outcome:
    """Install one client, if it is not yet, and drive it."""
    failed = install(name, client, folder)
    if failed:
        say(f"{name}: not installed: {failed}")
        return Outcome(name, client.version, failed=f"not installed: {failed}")
    say(f"{name}: at work")
    start = time.monotonic()
    jobs, failed = drive(client, folder, gateway)
    jobs = [judged(client, job) for job in jobs]
    bad = sum(bool(job.failed) for job in jobs)
    verdict = failed or (f"{bad} of {len(jobs)} jobs failed" if bad else f"{len(jobs)} jobs done")
    say(f"{name}: {verdict} ({time.monotonic() - start:.0f} s)")
    return Outcome(name, client.version, tuple(jobs), failed)


def judged(client: Client, job: Done) -> Done:
    """Return the job with known faults of this client marked."""
    if job.job not in client.cannot.get(client.served()[job.model], ()):
        return job
    if not job.failed:
        return msgspec.structs.replace(
            job, failed="done, though clients.toml says that it cannot be"
        )
    return msgspec.structs.replace(job, failed="", refused=True)


def install(name: str, client: Client, folder: Path) -> str:
    """Install the packages of `client` into `folder`; return the reason of a failure, or nothing."""
    wanted, mark = "\n".join([*client.pip, *client.npm]), folder / ".installed"
    if mark.exists() and mark.read_text() == wanted:
        return ""
    say(f"{name}: installing {' '.join([*client.pip, *client.npm])}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        for command in _installing(client, folder):
            ran = subprocess.run(
                command, check=False, capture_output=True, text=True, timeout=_INSTALL_S, cwd=folder
            )
            if ran.returncode:
                return _reason(ran.stdout + ran.stderr)
    except subprocess.TimeoutExpired:
        return f"not done after {_INSTALL_S} s"
    except FileNotFoundError as error:
        return f"there is no {error.filename} here"
    mark.write_text(wanted)
    return ""


def _installing(client: Client, folder: Path) -> Iterator[list[str]]:
    """The commands that install it; they run in `folder`."""
    if client.pip:
        python = str(folder / "bin" / "python")
        yield [sys.executable, "-m", "venv", str(folder)]
        yield [
            python,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--quiet",
            "install",
            *client.pip,
        ]
    if client.npm:
        # Kept in this folder by a package of its own: `--prefix` would move npm's settings, too.
        (folder / "package.json").write_text('{"private": true, "type": "module"}')
        scripts = "--foreground-scripts" if client.scripts else "--ignore-scripts"
        yield ["npm", "install", "--no-audit", "--no-fund", scripts, *client.npm]


def _reason(told: str) -> str:
    """The line of pip's or npm's words that says why."""
    lines = [" ".join(line.split()) for line in told.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"ERROR:|npm (error|ERR!)", line)]
    reasons = [line for line in errors if not re.search(r"(error|ERR!) code|complete log", line)]
    return (reasons or errors or lines or ["it says nothing"])[0][:300]


def drive(client: Client, folder: Path, gateway: Gateway) -> tuple[list[Done], str]:
    """Run the client's jobs; return their results, and the reason why some were not tried."""
    for name in ("jobs.mjs", client.driver):
        if name.endswith(".mjs"):  # node looks for packages from where a file lies
            shutil.copy(DRIVERS / name, folder)
    if client.driver.endswith(".mjs"):
        command = ["node", str(folder / client.driver)]
    else:
        python = str(folder / "bin" / "python") if client.pip else sys.executable
        command = [python, str(DRIVERS / client.driver)]
    with TemporaryDirectory() as home:
        try:
            ran = subprocess.run(
                command, check=False, capture_output=True, text=True, timeout=_CLIENT_S, cwd=home,
                env=_environment(client, folder, gateway, home),
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            printed = (error.stdout or b"").decode(errors="replace")
            return _done(printed), f"not done after {_CLIENT_S} s"
    jobs = _done(ran.stdout)
    if os.environ.get("CLIENT_TRACE"):
        print(ran.stderr, file=sys.stderr)
    if ran.returncode or not jobs:
        told = [line for line in ran.stderr.splitlines() if line.strip()]
        lines = [line for line in told if "Error" in line] or told or ["it says nothing"]
        return jobs, f"the driver ended with {ran.returncode}: {lines[-1].strip()[:300]}"
    return jobs, ""


def _environment(client: Client, folder: Path, gateway: Gateway, home: str) -> dict[str, str]:
    """Return an environment without anything of the user's: no keys, no settings, no network access."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": home,
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
        "HTTP_PROXY": _NOWHERE,
        "HTTPS_PROXY": _NOWHERE,
        "NO_PROXY": "127.0.0.1",
        "PYTHONWARNINGS": "ignore",
        "CLIENT_FOLDER": str(folder),
        "CLIENT_TRACE": os.environ.get("CLIENT_TRACE", ""),
        "GATEWAY_URL": gateway.url,
        "GATEWAY_ROOT": gateway.root,
        "GATEWAY_KEY": gateway.key,
        "GATEWAY_MODELS": " ".join(client.served()),
    }


def _done(printed: str) -> list[Done]:
    """Parse the jobs in a driver's output."""
    lines = [line for line in printed.splitlines() if line.startswith('{"way"')]
    return [msgspec.json.decode(line, type=Done) for line in lines]


class Row(msgspec.Struct, frozen=True):
    """A client in one of its ways."""

    client: str
    version: str
    way: str
    marks: dict[str, str]
    """Upstream -> a sign for each job."""
    seconds: float


def rows(outcomes: Sequence[Outcome]) -> Iterator[Row]:
    """The rows of the table."""
    known = clients()
    for outcome in outcomes:
        served_by = known[outcome.name].served()
        for way in dict.fromkeys(job.way for job in outcome.jobs):
            jobs = [job for job in outcome.jobs if job.way == way]
            marks = {}
            for model, upstream in served_by.items():
                done = {job.job: job for job in jobs if job.model == model}
                marks[upstream] = "".join(_mark(done.get(job), mark) for job, mark in JOBS.items())
            seconds = sum(job.seconds for job in jobs)
            yield Row(outcome.name, outcome.version, way, marks, seconds)


def _mark(job: Done | None, mark: str) -> str:
    if job is None:
        return "."
    return "!" if job.failed else "-" if job.refused else mark


def table(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """The table, at most 80 columns wide."""
    line = "{:17.17} {:9.9} {:16.16} {:8} {:9} {:9} {:>6}"
    yield line.format("client", "version", "way", *MODELS, "s")
    for row in rows(outcomes):
        marks = [row.marks[upstream] for upstream in MODELS]
        yield line.format(row.client, row.version, row.way, *marks, f"{row.seconds:.1f}")
    legend = ", ".join(f"{mark} {job}" for job, mark in JOBS.items())
    yield f"{legend}; ! failed; - refused rightly; . no job of this client"


def troubles(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield the jobs that were not done, with the reasons."""
    for outcome in outcomes:
        told = [f"{outcome.name}: {outcome.failed}"] if outcome.failed else []
        for job in outcome.jobs:
            if job.failed:
                what = f"{outcome.name}, {job.way}, {job.model}, {job.job}"
                told.append(f"{what}: {' '.join(job.failed.split())[:700]}")
        for text in told:
            yield from textwrap.wrap(text, _WIDTH, subsequent_indent="    ")


def write(outcomes: Sequence[Outcome]) -> None:
    """Write rows into the table of the document, with today's date; other clients keep theirs."""
    text = DOCUMENT.read_text(encoding="utf-8")
    found = re.search("(?<=<!-- table -->\n).*?(?=<!-- end -->)", text, re.DOTALL)
    assert found is not None, f"{DOCUMENT} has no place for the table"
    written: dict[str, list[str]] = {}
    for line in found[0].splitlines()[2:]:
        written.setdefault(line.split("|")[1].strip(), []).append(line)
    today = dt.datetime.now(dt.UTC).date()
    for outcome in outcomes:
        written[outcome.name] = [_cells(row, today) for row in rows([outcome])]
    lines = [
        "| client | version | way | OpenAI | Anthropic | Converse | run |",
        "|---|---|---|---|---|---|---|",
        *[line for name in clients() for line in written.get(name, ())],
    ]
    table = "".join(f"{line}\n" for line in lines)
    DOCUMENT.write_text(text[: found.start()] + table + text[found.end() :], encoding="utf-8")


def _cells(row: Row, today: dt.date) -> str:
    marks = " | ".join(f"`{row.marks[upstream]}`" for upstream in MODELS)
    return f"| {row.client} | {row.version} | {row.way} | {marks} | {today} |"


def say(text: str) -> None:
    """Tell how it goes."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
