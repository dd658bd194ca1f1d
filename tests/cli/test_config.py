"""`inferworks config`: checked as a start would check it, shown without a secret, imported whole."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import Result
from tests.support.command_line import invoke

from inferworks.cli.config_text import config_toml
from inferworks.config import (
    REFERENCES,
    REPEATED,
    Breaker,
    Config,
    Gateway,
    Model,
    Renamed,
    Upstream,
    load,
    settings,
)
from inferworks.errors import ConfigError, UserError

SECRET = "sk-never-to-be-seen"


def configured(*words: str, **environment: str) -> Result:
    """Run a command with these variables set."""
    return invoke(*words, environment=environment)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


class _Models(BaseHTTPRequestHandler):
    """Lists one model to whoever has the key."""

    def do_GET(self) -> None:
        """Answer `GET /v1/models`."""
        allowed = self.headers["authorization"] == f"Bearer {SECRET}" and self.path == "/v1/models"
        body = b'{"object":"list","data":[{"id":"there","object":"model"}]}' if allowed else b"{}"
        self.send_response(200 if allowed else 401)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def models_server() -> Iterator[int]:
    """The port of a server that lists models."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Models) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def write_upstream(folder: Path, port: int, model: str) -> None:
    """A configuration with one upstream, whose key is in KEY."""
    (folder / "inferworks.toml").write_text(
        f'[[upstream]]\nname = "here"\nurl = "http://127.0.0.1:{port}/v1"\n'
        f'models = ["{model}"]\nkey = "env:KEY"\n'
    )


def test_a_good_configuration_is_told_in_one_line(folder: Path) -> None:
    """Parts of a good configuration are counted, and a key is found without being shown."""
    write_upstream(folder, 1, "there")
    result = configured("config", "check", KEY=SECRET)
    assert result.output == "inferworks.toml is good: 1 upstream, 2 models, 1 key found\n"
    report = json.loads(configured("config", "check", "--json", KEY=SECRET).output)
    assert report["upstreams"][0]["key"] == "env:KEY"
    assert report["models"] == ["inferworks-tiny", "there"]


@pytest.mark.slow
def test_a_key_that_is_not_there_is_told(folder: Path) -> None:
    """The check fails as the start would."""
    write_upstream(folder, 1, "there")
    result = configured("config", "check")
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception) == "upstream here: the environment variable KEY is not set"


@pytest.mark.slow
def test_a_probe_says_what_the_upstream_said(folder: Path) -> None:
    """An upstream that answers is well; a wrong key, a missing model or nobody is a failure."""
    with models_server() as port:
        write_upstream(folder, port, "there")
        good = configured("config", "check", "--probe", KEY=SECRET)
        assert (good.exit_code, "lists 1 models" in good.output) == (0, True)
        wrong = configured("config", "check", "--probe", KEY="another")
        assert (wrong.exit_code, "status 401" in wrong.output) == (1, True)
        write_upstream(folder, port, "missing")
        missing = json.loads(configured("config", "check", "--probe", "--json", KEY=SECRET).output)
        assert missing["probed"] == [
            {"upstream": "here", "ok": False, "what": "it does not list missing"}
        ]
    nobody = configured("config", "check", "--probe", KEY=SECRET)
    assert (nobody.exit_code, "could not connect" in nobody.output) == (1, True)


@pytest.mark.slow
def test_no_command_shows_a_secret(folder: Path) -> None:
    """Wherever the key may be looked for, there is its reference."""
    write_upstream(folder, 1, "there")
    for words in (
        ("config", "show"), ("config", "show", "--json"), ("config", "check", "--json", "--probe"),
        ("models", "list", "--json"),
    ):  # fmt: skip
        output = configured(*words, KEY=SECRET).output
        assert SECRET not in output
        if words[1] == "show":
            assert "env:KEY" in output


def test_what_is_shown_reads_back_as_the_same(folder: Path) -> None:
    """The shown text is a configuration, and the same one."""
    config = Config(
        gateway=Gateway(port=9000, discover=True),
        breaker=Breaker(cool_down_s=2.5),
        upstream=(
            Upstream(
                name="a",
                models=("m", Renamed(name='q"uoted', upstream="ü/\\")),
                key="env:KEY",
                url="http://x",
                weight=0.5,
            ),
        ),
        model=(Model(name="m", offers=("a/m",), regions=("eu-",), strategy="fastest"),),
    )
    path = folder / "other.toml"
    for everything in (True, False):
        path.write_text(config_toml(config, everything=everything), encoding="utf-8")
        assert load(path, {}) == config
    shown = configured("config", "show", "--file", "other.toml", INFERWORKS_GATEWAY_PORT="1")
    assert "port = 1\n" in shown.output


def test_providers_are_listed() -> None:
    """Every row, or those of one's own machine."""
    rows = json.loads(configured("providers", "list", "--json").output)
    local = json.loads(configured("providers", "list", "--local", "--json").output)
    assert {"openai", "vllm"} <= {row["id"] for row in rows}
    assert {row["id"] for row in local} < {row["id"] for row in rows}
    assert all(row["ports"] for row in local)
    assert "ANTHROPIC_API_KEY" in configured("providers", "list").output


def test_an_import_overwrites_nothing(folder: Path) -> None:
    """A file that is there stays; what is no LiteLLM file is told in one line."""
    source = folder / "config.yaml"
    source.write_text(
        "model_list:\n- model_name: m\n  litellm_params:\n    model: groq/llama\n    rpm: 3\n"
    )
    words = ("config", "import", "litellm", "config.yaml", "--out", "made.toml")
    made = configured(*words)
    assert "Check it with: inferworks config check --file made.toml" in made.output
    assert "Not taken over" in made.output
    assert "litellm_params.rpm (m): a weight here, not a limit" in made.output
    assert all(len(line) <= 80 for line in made.output.splitlines())
    (upstream,) = load(folder / "made.toml", {}).upstream
    assert upstream == Upstream(
        name="groq",
        provider="groq",
        models=(Renamed(name="m", upstream="llama"),),
    )
    assert "is there already" in str(configured(*words).exception)
    for text, said in (("a: [", "line 1, column 5: not valid YAML"), ("a: 1", "has no model_list")):
        source.write_text(text)
        error = configured("config", "import", "litellm", "config.yaml").exception
        assert isinstance(error, UserError)
        assert said in str(error)
        assert "\n" not in str(error)


TEXTS = [
    setting.name
    for setting in settings()
    if setting.type not in {"int", "float", "bool"} and setting.name != "data.folder"
]
PLANTED = {
    "login": "http://me:{}@127.0.0.1:99999/v1",
    "token as login": "s3://{}@bucket/folder",
    "query": "https://example.com/v1?api-key={}&x=1",
    "key": "sk-proj-{}-T3BlbkFJ",
    "plain": "{}",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TEXTS)
def test_a_secret_is_shown_nowhere(folder: Path, name: str) -> None:
    """Wherever somebody writes a password or a key, no command shows it, whether it is accepted or not."""
    section, _, field = name.partition(".")
    secret = "S3CR3T0123456789"
    for form in PLANTED.values():
        if form == "{}" and field not in REFERENCES - {"key_variable"}:
            continue  # a word among words, or the name of a variable
        planted = form.format(secret)
        fields = {field: [planted] if _is_list(name) else planted}
        if section == "upstream":
            fields = {"name": "u", "models": ["m"], **fields}
        elif section == "model":
            fields = {"name": "m", **fields}
        head = f"[[{section}]]" if section in REPEATED else f"[{section}]"
        lines = [f"{key} = {json.dumps(value)}" for key, value in fields.items()]
        (folder / "inferworks.toml").write_text("\n".join([head, *lines]) + "\n")
        for words in (("config", "show"), ("config", "show", "--json"), ("config", "check")):
            result = configured(*words)
            assert isinstance(result.exception, SystemExit | UserError | None), result.exc_info
            assert secret not in f"{result.output} {result.exception}", words


def _is_list(name: str) -> bool:
    return next(setting.type for setting in settings() if setting.name == name).startswith("list")


@pytest.mark.parametrize(
    "broken", ['  api_key: "S3CR3T', "api_key: S3CR3T\n\tx: 1", "- S3CR3T: [", "x: !S3 S3CR3T"]
)
def test_a_file_that_is_no_yaml_is_not_quoted(folder: Path, broken: str) -> None:
    """The place of the fault is named and the line is not shown: keys stand in such files."""
    (folder / "litellm.yaml").write_text(f"model_list:\n{broken}\n")
    result = configured("config", "import", "litellm", "litellm.yaml")
    assert isinstance(result.exception, UserError)
    assert "litellm.yaml, line " in str(result.exception)
    assert "S3CR3T" not in str(result.exception)
