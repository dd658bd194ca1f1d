"""The plan in force and the next one: which connections stay, and which are closed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from inferworks.api.context import AppContext
from inferworks.cloud.offer import Offer
from inferworks.cloud.providers.base import Provider
from inferworks.cloud.providers.stub import StubProvider
from inferworks.http.exchange import Refused, RequestHead
from inferworks.ids import ModelId
from inferworks.wiring import service
from inferworks.wiring.model_catalog import Catalogue
from inferworks.wiring.plan import OWN, Plan
from inferworks.wiring.service import Service

PlanOf = Callable[..., Plan]
KEYS = {"OPENAI_API_KEY": "key", "GROQ_API_KEY": "key"}
OPENAI = """
    [[upstream]]
    name = "first"
    provider = "openai"
    models = ["gpt"]
"""
GROQ = """
    [[upstream]]
    name = "second"
    provider = "groq"
    models = ["llama"]
"""


class Client:
    """The connections of one account, as far as they are opened and closed."""

    made: list[Client]

    def __init__(self, _timeouts: object, *, tls: object) -> None:
        self.tls = tls
        self.is_closed = False
        self.made.append(self)

    def close(self) -> None:
        """Close, once."""
        assert not self.is_closed
        self.is_closed = True


class NoReplicas:
    """A fleet of none."""

    def offers(self, _: ModelId) -> Sequence[Offer]:
        """No replica is ready."""
        return []

    def status(self) -> Mapping[str, str]:
        """There are none."""
        return {}


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Client]]:
    """The clients that were made, in order."""
    Client.made = []
    monkeypatch.setattr(service, "HttpClient", Client)
    yield Client.made
    del Client.made


def context_of(catalogue: Catalogue, providers: Mapping[str, Provider]) -> AppContext:
    """The parts of a context that these tests look at."""
    parts = SimpleNamespace(
        catalogue=catalogue, providers=providers, cors=None, on_refused=None, keyring=None
    )
    return cast("AppContext", cast("Any", parts))


def serving(plan: Plan) -> Service:
    """A service of `plan`."""
    return Service(plan, NoReplicas(), StubProvider(), context_of)


def test_each_account_has_its_connections(plan_of: PlanOf, clients: list[Client]) -> None:
    """Our own replicas have a provider besides, whatever the plan."""
    with serving(plan_of("", KEYS)) as empty:
        assert set(empty.context.providers) == {OWN}
        assert clients == []
    with serving(plan_of(OPENAI + GROQ, KEYS)) as both:
        assert set(both.context.providers) == {OWN, "first", "second"}
        assert list(both.context.catalogue.models()) == ["gpt", "llama"]
        assert len(clients) == 2
    assert [client.is_closed for client in clients] == [True, True]


def test_an_unchanged_account_keeps_its_provider(plan_of: PlanOf, clients: list[Client]) -> None:
    """A new plan is a new context; connections of accounts that are in both are not opened anew."""
    with serving(plan_of(OPENAI, KEYS)) as here:
        before = here.context
        provider = before.providers["first"]
        plan = plan_of(OPENAI.replace("gpt", "gpt-2") + GROQ, KEYS)
        here.put(plan)
        assert here.plan is plan
        assert here.context is not before
        assert here.context.providers["first"] is provider
        assert list(here.context.catalogue.models()) == ["gpt-2", "llama"]
        assert list(before.catalogue.models()) == ["gpt"], "a running request sees nothing of it"
        assert [client.is_closed for client in clients] == [False, False]


@pytest.mark.parametrize(
    ("text", "environment"),
    [
        ("", KEYS),
        (OPENAI, {"OPENAI_API_KEY": "another"}),
        (OPENAI + 'url = "https://proxy.example/v1"\n', KEYS),
        (OPENAI.replace("first", "renamed"), KEYS),
    ],
    ids=["removed", "another key", "another address", "another name"],
)
def test_a_changed_account_is_closed(
    plan_of: PlanOf, clients: list[Client], text: str, environment: dict[str, str]
) -> None:
    """Its connections are those of nobody any more; the other account keeps its own."""
    with serving(plan_of(OPENAI + GROQ, KEYS)) as here:
        old = here.context.providers["first"]
        here.put(plan_of(text + GROQ, environment | {"GROQ_API_KEY": "key"}))
        assert here.context.providers.get("first") is not old
        assert [client.is_closed for client in clients[:2]] == [True, False]
        assert not any(client.is_closed for client in clients[2:])
        assert len(clients) == (3 if text else 2)
    assert all(client.is_closed for client in clients)


def test_a_plan_that_cannot_be_served_changes_nothing(
    plan_of: PlanOf, clients: list[Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate that cannot be read, say: what is in force stays in force."""
    with serving(plan_of(OPENAI, KEYS)) as here:
        before, plan = here.context, here.plan

        def refuse(_: object) -> None:
            raise OSError("no such certificate")

        monkeypatch.setattr(service, "tls_of", refuse)
        with pytest.raises(OSError, match="no such certificate"):
            here.put(plan_of(GROQ, KEYS))
        assert (here.context, here.plan) == (before, plan)
        assert [client.is_closed for client in clients] == [False]


def test_requests_are_admitted_by_the_plan_in_force(plan_of: PlanOf, clients: list[Client]) -> None:
    """A path that is not there is refused by its head."""
    with serving(plan_of(OPENAI, KEYS)) as here:
        refused = here.admit(RequestHead("POST", "/v1/nothing", "", {}))
        assert isinstance(refused, Refused)
        assert refused.status == 404
    assert len(clients) == 1
