"""The admin API on a loopback port, over accounts in a file, and a client that sends what it is told to."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inferworks.accounts.author import process_author
from inferworks.accounts.credit import Credit
from inferworks.accounts.customer import Customer
from inferworks.accounts.limit import Limit
from inferworks.accounts.member import Member, MemberKind, mint_token
from inferworks.accounts.organisation import Organisation
from inferworks.accounts.plan import PricePlan
from inferworks.accounts.roles import WHOLE, Role, Scope
from inferworks.accounts.stores.base import Accounts
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.api.admin.app import LIMITS, AdminApp, AdminContext, refusal
from inferworks.api.admin.request import Services
from inferworks.clock import SystemClock
from inferworks.http.server import HttpServer
from inferworks.ids import CustomerId, MemberId, OrganisationId, new_id
from inferworks.limits.ledger import in_use
from inferworks.limits.limiter import account_id
from inferworks.limits.stores.stub import MemoryLimits
from inferworks.meter.usage import Usage
from inferworks.meter.used import Used, used_by
from inferworks.testing.facts import A_PEPPER
from inferworks.testing.in_process_gateway import Answered, parse_answer

GROUP, OTHER_GROUP = OrganisationId("group"), OrganisationId("other-group")
INSIDE, OUTSIDE = CustomerId("inside"), CustomerId("outside")
SCOPES = {"whole": WHOLE, "group": Scope(organisation=GROUP), "customer": Scope(customer=INSIDE)}


class PlainCredit:
    """Credit by no rules but those of the store: the books' own have their tests."""

    def add(
        self, accounts: Accounts, customer: CustomerId, amount_pico: int, expires: dt.date | None,
        reason: str,
    ) -> Credit:  # fmt: skip
        """Enter a purchase."""
        credit = Credit(new_id("credit"), customer, 1, amount_pico, "USD", reason=reason)
        accounts.add_credit(credit)
        return credit

    def void(self, accounts: Accounts, credit_id: str, reason: str) -> Credit:
        """Void a purchase."""
        return accounts.void_credit(credit_id, 2, reason)


@dataclass
class LimitsInUse:
    """Use of limits in a ledger in memory, to be put there by tests."""

    store: MemoryLimits = field(default_factory=MemoryLimits)

    def in_use(self, limits: Sequence[Limit], at_ns: int) -> dict[str, int]:
        """Return what is taken of each limit."""
        names = {one.id: account_id(one, one.window_ns(at_ns)[0]) for one in limits}
        found = self.store.transact(lambda rows: in_use(rows, names.values()))
        return {limit_id: found.get(name, 0) for limit_id, name in names.items()}


@dataclass
class UsageOfCalls:
    """Reader of what customers have used, by calls that tests put there."""

    usages: list[Usage] = field(default_factory=list)
    plans: list[PricePlan] = field(default_factory=list)

    def used(
        self, customer: CustomerId, edges_ns: Sequence[int], *, by_key: bool, most_rows: int
    ) -> list[Used]:
        """Return what `customer` has used."""
        return used_by(self.usages, customer, edges_ns, by_key=by_key)

    def plans_of(self, customer: CustomerId) -> list[PricePlan]:
        """Return the plans of `customer`."""
        return [plan for plan in self.plans if plan.customer == customer]


@dataclass
class AdminServer:
    """The API while it runs."""

    path: Path
    server: HttpServer
    port: int
    tokens: dict[tuple[Role, str], str] = field(default_factory=dict)
    failures: list[BaseException] = field(default_factory=list)
    limits: LimitsInUse = field(default_factory=LimitsInUse)
    usage: UsageOfCalls = field(default_factory=UsageOfCalls)

    def accounts(self) -> SqliteAccounts:
        """Open the accounts, as a command does."""
        return SqliteAccounts(self.path)

    def token(self, role: Role = Role.OWNER, scope: str = "whole") -> str:
        """Return the token of a member of a role and a scope, who is made when first asked for."""
        known = self.tokens.get((role, scope))
        if known is None:
            where, now_ns = SCOPES[scope], SystemClock().now_ns()
            member = Member(
                id=MemberId(new_id("member")),
                role=role,
                created_ns=1,
                kind=MemberKind.SERVICE,
                name=f"{role} of {scope}",
                organisation=where.organisation,
                customer=where.customer,
            )
            token, known = mint_token(member.id, now_ns)
            with closing(self.accounts()) as accounts:
                accounts.add_member(member)
                accounts.add_member_token(token)
            self.tokens[role, scope] = known
        return known

    async def raw(self, data: bytes) -> Answered:
        """Send bytes, and return what comes until the connection closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            async with asyncio.timeout(30.0):
                return parse_answer(await reader.read())
        finally:
            writer.close()

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answered:
        """Make a request, as the owner unless `token` is given (empty: none)."""
        data = (
            b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        )
        fields = {
            "host": "localhost",
            "connection": "close",
            "content-length": str(len(data)),
            "content-type": "application/json",
        }
        shown = self.token() if token is None else token
        if shown:
            fields["authorization"] = f"Bearer {shown}"
        lines = [f"{name}: {value}\r\n" for name, value in (fields | dict(headers or {})).items()]
        head = f"{method} {path} HTTP/1.1\r\n{''.join(lines)}\r\n"
        return await self.raw(head.encode("latin-1") + data)

    async def done(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """Make a request that must be answered as asked; what the answer says."""
        answer = await self.call(method, path, body, **more)
        assert answer.status in {200, 201}, answer.body
        return answer.json


@asynccontextmanager
async def open_admin(folder: Path, *names: str) -> AsyncIterator[AdminServer]:
    """Run the API over accounts of two customers, one of them in an organisation; it goes by `names`."""
    path = folder / "accounts.db"
    with closing(SqliteAccounts(path, author=process_author("a test"))) as accounts:
        for group in (GROUP, OTHER_GROUP):
            accounts.add_organisation(Organisation(group, 1))
        for customer in (INSIDE, OUTSIDE):
            accounts.add_customer(Customer(customer, 1))
        accounts.place_customer(INSIDE, GROUP)
    limits, usage = LimitsInUse(), UsageOfCalls()
    context = AdminContext(
        open_accounts=lambda author: closing(SqliteAccounts(path, author=author)),
        services=Services(A_PEPPER, "USD", PlainCredit(), limits, usage),
        clock=SystemClock(),
        names=names,
    )
    failures: list[BaseException] = []
    with closing(AdminApp(context)) as app:
        server = HttpServer(app, limits=LIMITS, refusal=refusal, on_error=failures.append)
        port = await server.start("127.0.0.1", 0)
        try:
            yield AdminServer(path, server, port, failures=failures, limits=limits, usage=usage)
        finally:
            await server.stop(5.0)
    assert not failures
