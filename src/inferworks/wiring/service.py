"""The plan in force, and its replacement by the next one while calls run.

A request is handled from its first byte to its last by the context (`AppContext`) that was in force when
it came. A new plan is therefore a new context: the next request sees all of it, a running one nothing.
Journal, keys, limiter and load are shared by all contexts; catalogue and providers differ.

Connections belong to accounts. An account that is in both plans, with the same address, secret and time
limits, keeps its provider and its connections. The client of a removed account is closed: it drops idle
connections at once and each of the others when the call on it ends.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from inferworks.api.app import admit, app
from inferworks.api.context import AppContext
from inferworks.cloud.providers.base import Provider
from inferworks.http.client import HttpClient
from inferworks.http.server import Admission, Exchange, Refused, RequestHead
from inferworks.wiring.drivers import open_provider
from inferworks.wiring.model_catalog import Catalogue, OwnReplicas
from inferworks.wiring.plan import OWN, Plan
from inferworks.wiring.upstreams import Account, tls_of

MakeContext = Callable[[Catalogue, Mapping[str, Provider]], AppContext]


@dataclass(frozen=True, slots=True)
class _Line:
    """Open account: its connections, and the provider over them."""

    client: HttpClient
    provider: Provider


class Service(AbstractContextManager["Service"]):
    """The handler of every request; closing it drops all connections to upstreams."""

    def __init__(
        self, plan: Plan, replicas: OwnReplicas, own: Provider, make_context: MakeContext
    ) -> None:
        """Serve `replicas` by the provider `own`, whatever the plan."""
        self._replicas = replicas
        self._own = own
        self._make_context = make_context
        self._lines: dict[Account, _Line] = {}
        self.put(plan)

    def put(self, plan: Plan) -> None:
        """Serve by `plan` from now on. Nothing here waits, so no request comes in between."""
        lines: dict[Account, _Line] = {}
        for account in plan.accounts:
            line = self._lines.get(account)
            if line is None:
                client = HttpClient(account.timeouts, tls=tls_of(account))
                line = _Line(client, open_provider(client, account))
            lines[account] = line
        gone = [line for account, line in self._lines.items() if account not in lines]
        providers = {OWN: self._own} | {a.name: line.provider for a, line in lines.items()}
        self.context = self._make_context(Catalogue(plan, self._replicas), providers)
        self.plan = plan
        self._handle = app(self.context)
        self._admit = admit(self.context)
        self._lines = lines
        for line in gone:
            line.client.close()

    def __call__(self, exchange: Exchange) -> Awaitable[None]:
        """Answer one request, all of it by the plan in force now."""
        return self._handle(exchange)

    def admit(self, head: RequestHead) -> Admission | Refused:
        """Decide by the plan in force whether to take the body of a request."""
        return self._admit(head)

    def __exit__(self, *_: object) -> None:
        for line in self._lines.values():
            line.client.close()
