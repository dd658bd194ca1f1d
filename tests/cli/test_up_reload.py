"""A real `inferworks up` takes up its changed file while calls run, and keeps its keys to itself."""

from __future__ import annotations

import json
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from inferworks.testing.platform import RealPlatform, real_platform

pytestmark = pytest.mark.slow

HEAD = "[engine]\nreplicas = 0\n"
SECRET = "sk-a-secret-in-a-file"


class _Upstream(BaseHTTPRequestHandler):
    """Answers every chat, and remembers who asked."""

    seen: list[str]

    def do_POST(self) -> None:
        """Answer a chat."""
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.seen.append(self.headers.get("authorization", ""))
        message = {"role": "assistant", "content": request["model"]}
        self._answer(
            {
                "id": "1", "object": "chat.completion", "created": 1, "model": request["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            }
        )  # fmt: skip

    def do_GET(self) -> None:
        """List the models."""
        self._answer({"data": [{"id": "found-here"}]})

    def _answer(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def upstream(port: int = 0) -> Iterator[tuple[int, list[str]]]:
    """The port of an upstream, and the keys it was asked with."""
    seen: list[str] = []
    handler = type("Handler", (_Upstream,), {"seen": seen})
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1], seen
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Client]]:
    """Starts a platform over a configuration in its working directory."""
    monkeypatch.chdir(tmp_path)
    with real_platform(tmp_path / "data") as platform:

        def start(text: str) -> Client:
            (tmp_path / "inferworks.toml").write_text(HEAD + text)
            key = platform.key()
            return Client(platform, str(platform.start().url), key)

        yield start


class Client:
    """Asks a platform as anybody would."""

    def __init__(self, platform: RealPlatform, url: str, key: str) -> None:
        self.platform = platform
        self._url = url
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}

    def models(self) -> list[str]:
        """Names of the models served."""
        return [model["id"] for model in self._ask("/models", None)["data"]]

    def chat(self, model: str) -> str:
        """The name by which the upstream was asked for `model`."""
        body = {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
        answer = self._ask("/chat/completions", json.dumps(body).encode())
        return str(answer["choices"][0]["message"]["content"])

    def until(self, models: list[str]) -> None:
        """Wait until exactly these are served."""
        deadline = time.monotonic() + 10
        while (served := self.models()) != models:
            assert time.monotonic() < deadline, served
            time.sleep(0.05)  # another process shows what it has done only when asked

    def _ask(self, path: str, body: bytes | None) -> Any:
        request = urllib.request.Request(self._url + path, body, self._headers)
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)


def test_a_changed_file_is_taken_up_by_itself_and_at_sighup(
    started: Callable[[str], Client], tmp_path: Path
) -> None:
    """Renames, keys and upstreams change while it runs; a broken file and a new port do not."""
    (tmp_path / "key").write_text(SECRET + "\n")
    with upstream() as (port, seen):
        table = f'[[upstream]]\nname = "one"\nurl = "http://127.0.0.1:{port}/v1"\n'
        client = started(f'{table}models = ["m"]\n')
        assert client.chat("m") == "m"
        path = tmp_path / "inferworks.toml"
        renamed = 'models = [{ name = "m", upstream = "vendor/m" }, "n"]\nkey = "file:key"\n'
        path.write_text(f"{HEAD}{table}{renamed}")
        client.until(["m", "n"])
        assert client.chat("m") == "vendor/m"
        assert seen == ["", f"Bearer {SECRET}"]

        path.write_text(
            f"{HEAD}[gateway]\nport = 1\n{table}{renamed}\n[[model]]\nname = 'm'\nstrategy = 'x'\n"
        )
        client.platform.send(signal.SIGHUP)
        while "unknown strategy 'x'" not in client.platform.log():
            time.sleep(0.05)
        assert client.models() == ["m", "n"]

        path.write_text(f"{HEAD}[gateway]\nmax_calls = 9\n{table}models = ['o']\n")
        client.platform.send(signal.SIGHUP)
        client.until(["o"])
        with pytest.raises(urllib.error.HTTPError, match="404"):
            client.chat("m")
    assert client.platform.stop() == 0
    log = client.platform.log()
    assert "gateway.max_calls changed; it takes effect with the next start" in log
    assert SECRET not in log
    assert "Traceback" not in log


def test_an_engine_on_its_usual_port_is_offered(started: Callable[[str], Client]) -> None:
    """With `discover` a start serves what answers on this machine, without a word about it."""
    with ExitStack() as stack:
        try:
            _, seen = stack.enter_context(upstream(1234))
        except OSError as error:
            pytest.skip(f"something listens on the port of LM Studio (1234): {error.strerror}")
        client = started("[gateway]\ndiscover = true\n")
        assert "found-here" in client.models()
        assert client.chat("found-here") == "found-here"
        assert seen == [""]
        assert client.platform.stop() == 0
