"""The table of the API: which requests are let in by their head, and what the others are told."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from inferworks.accounts.key import SERVING, Grant, Key, mint
from inferworks.api.app import FORMS, ROUTES, admit
from inferworks.api.cors import Cors
from inferworks.http.server import Admission, Refused, RequestHead
from inferworks.ids import CustomerId
from inferworks.testing.facts import A_PEPPER

MONITOR = Grant(monitor=True)


class Gate:
    """A gateway's admission of requests by their heads, with one key."""

    def __init__(self, grant: Grant = SERVING, *, cors: Cors | None = None) -> None:
        self.key, self.secret = mint(CustomerId("acme"), 1, grant, pepper=A_PEPPER)
        self.reported: list[Any] = []
        self.fresh = True
        context: Any = SimpleNamespace(
            cors=cors,
            keyring=self,
            on_refused=self.reported.append,
            clock=SimpleNamespace(now_ns=lambda: 7),
        )
        self._decide = admit(context)

    def find(self, secret: str) -> Key | None:
        """The key of `secret`."""
        return self.key if secret == self.secret else None

    def asks(
        self, method: str, path: str, *, keyed: bool = True, **headers: bytes
    ) -> Admission | Refused:
        """The decision for a request; an underscore in the name of a header is a dash."""
        named = {name.replace("_", "-").encode(): value for name, value in headers.items()}
        if keyed:
            named[b"authorization"] = b"Bearer " + self.secret.encode()
        return self._decide(RequestHead(method, path, "", named))

    def refusal(self, method: str, path: str, **how: Any) -> tuple[int, str]:
        """Status and message of a request that is refused."""
        refused = self.asks(method, path, **how)
        assert isinstance(refused, Refused)
        return refused.status, json.loads(refused.body)["error"]["message"]


@pytest.mark.parametrize("path", FORMS)
def test_every_form_is_called_by_post_alone(path: str) -> None:
    """A call is made with POST, and its body is counted for its key."""
    gate = Gate()
    assert list(ROUTES[path]) == ["POST"]
    assert gate.asks("POST", path) == Admission(owner=gate.key.id)
    assert gate.reported == []


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "DELETE"])
def test_another_method_is_told_which_to_use(method: str) -> None:
    """A refusal of a method names those that the path takes, also in `allow`."""
    refused = Gate().asks(method, "/v1/chat/completions")
    assert isinstance(refused, Refused)
    assert refused.status == 405
    assert dict(refused.headers)[b"allow"] == b"POST"
    assert json.loads(refused.body)["error"]["message"] == (
        f"/v1/chat/completions does not take {method}; use POST."
    )


@pytest.mark.parametrize("path", ["/health", "/healthz", "/livez", "/readyz", "/"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_open_paths_need_no_key(method: str, path: str) -> None:
    """Health and the pages for people are open, and take no large body."""
    assert Gate().asks(method, path, keyed=False) == Admission(body_bytes=4096)


def test_other_paths_need_a_key() -> None:
    """A path that is not open is refused without a key, before any of its body is taken."""
    status, message = Gate().refusal("POST", "/v1/chat/completions", keyed=False)
    assert status == 401
    assert message.startswith("You didn't provide an API key")


def test_a_head_is_answered_where_a_get_is() -> None:
    """HEAD is taken by every path that has GET, without being named among its methods."""
    assert isinstance(Gate().asks("HEAD", "/v1/models"), Admission)
    assert list(ROUTES["/v1/models"]) == ["GET"]


def test_metrics_are_for_keys_of_their_own() -> None:
    """A monitor's key reads the metrics and nothing else; no other key reads them."""
    gate = Gate(MONITOR)
    assert gate.asks("GET", "/metrics") == Admission(owner=gate.key.id)
    assert gate.refusal("POST", "/v1/chat/completions")[0] == 403
    assert Gate().refusal("GET", "/metrics")[0] == 403


@pytest.mark.parametrize(
    ("path", "is_there"),
    [
        ("/v1/models/a", True),
        ("/v1/models/a/b", True),
        ("/v1/models/", False),
        ("/v1/responses/resp_1", True),
        ("/v1/responses/", False),
    ],
)
def test_a_path_with_a_slash_stands_for_all_below_it(path: str, is_there: bool) -> None:
    """Anything below such a path is found, the path itself with nothing behind it is not."""
    decided = Gate().asks("GET", path)
    assert isinstance(decided, Admission) is is_there


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/nowhere", ""),
        ("/v1", "; the API begins at /v1, see /docs."),
        ("/v1/", "; the API begins at /v1, see /docs."),
        (
            "/v1/v1/chat/completions",
            "; /v1 is in it twice: leave it out of the base URL, or of the path.",
        ),
        (
            "/chat/completions",
            "; did you mean /v1/chat/completions? The base URL of OpenAI's clients ends in /v1.",
        ),
        (
            "/api/v1/chat/completions",
            "; did you mean /v1/chat/completions? Look at the base URL.",
        ),
    ],
)
def test_a_path_that_is_near_another(path: str, hint: str) -> None:
    """A path that does not exist is named, with the one that was probably meant."""
    assert Gate().refusal("POST", path) == (404, f"Invalid URL (POST {path}){hint}")


def test_a_long_path_is_shortened() -> None:
    """A refusal repeats 200 characters of a path at most."""
    assert Gate().refusal("GET", "/" + "x" * 500) == (404, f"Invalid URL (GET /{'x' * 199})")


@pytest.mark.parametrize(
    "path", ["/openai/v1/chat/completions", "/openai/deployments/m/chat/completions"]
)
def test_paths_of_other_clients_are_found(path: str) -> None:
    """A path by which Azure's clients call is that of a call here."""
    assert isinstance(Gate().asks("POST", path), Admission)
    assert Gate().refusal("GET", path)[0] == 405


def test_a_coding_that_is_not_taken_is_refused_by_the_head() -> None:
    """A body in a coding that nobody can read is refused before it is taken."""
    gate = Gate()
    assert gate.refusal("POST", "/v1/messages", content_encoding=b"x-odd")[0] == 415
    assert isinstance(gate.asks("POST", "/v1/messages", content_encoding=b"gzip"), Admission)


def test_a_refused_request_is_reported() -> None:
    """A request that leaves no record is told to the access log, under the id that its answer has."""
    gate = Gate()
    refused = gate.asks("GET", "/nowhere")
    assert isinstance(refused, Refused)
    (report,) = gate.reported
    assert (report.at_ns, report.method, report.path, report.status) == (7, "GET", "/nowhere", 404)
    assert report.request_id.encode() in dict(refused.headers).values()


def test_a_preflight_is_let_in_where_pages_may_call() -> None:
    """A browser asks before it sends a key, so its question needs none; without CORS it is refused."""
    gate = Gate(cors=Cors(["https://app.example"]))
    small = Admission(body_bytes=4096)
    assert gate.asks("OPTIONS", "/v1/chat/completions", keyed=False) == small
    assert Gate().refusal("OPTIONS", "/v1/chat/completions", keyed=False)[0] == 405
    refused = gate.asks("GET", "/nowhere", origin=b"https://app.example")
    assert isinstance(refused, Refused)
    assert dict(refused.headers)[b"access-control-allow-origin"] == b"https://app.example"
