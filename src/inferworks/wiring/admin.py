"""The admin API of a running platform: its port, its accounts and its books."""

from __future__ import annotations

import datetime as dt
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, nullcontext
from pathlib import Path

import msgspec

from inferworks.accounts.credit import Credit
from inferworks.accounts.pepper import Pepper
from inferworks.accounts.stores.base import Accounts
from inferworks.api.admin.app import LIMITS, AdminApp, AdminContext, refusal
from inferworks.api.admin.request import Services
from inferworks.books.workspace.credit import enter_credit, void_credit
from inferworks.books.workspace.settings import Settings
from inferworks.clock import Clock
from inferworks.config import Config
from inferworks.folder import DataFolder
from inferworks.http.server import HttpServer, Sweep
from inferworks.ids import CustomerId
from inferworks.supervise import Supervisor
from inferworks.wiring.accounts import follow_accounts, open_accounts
from inferworks.wiring.books import book_settings
from inferworks.wiring.limits import LimitsUse
from inferworks.wiring.used import PricedUse

_log = logging.getLogger("inferworks.admin")


class WorkspaceCredit:
    """Prepaid credit by the rules of the books, entered in the accounts that are open for a request."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def add(
        self, accounts: Accounts, customer: CustomerId, amount_pico: int, expires: dt.date | None,
        reason: str,
    ) -> Credit:  # fmt: skip
        """Enter a purchase, paid now."""
        settings = self._over(accounts)
        return enter_credit(settings, customer, amount_pico, None, expires, reason).credit

    def void(self, accounts: Accounts, credit_id: str, reason: str) -> Credit:
        """Void a purchase that was a mistake."""
        return void_credit(self._over(accounts), credit_id, reason)

    def _over(self, accounts: Accounts) -> Settings:
        def opened() -> nullcontext[Accounts]:
            return nullcontext(accounts)

        return msgspec.structs.replace(self._settings, accounts=opened, change_accounts=opened)


@asynccontextmanager
async def administering(
    bound: socket.socket,
    config: Config,
    pepper: Pepper,
    clock: Clock,
    on_error: Callable[[BaseException], None],
    supervisor: Supervisor,
) -> AsyncIterator[None]:
    """Serve the admin API at `bound` while the block runs."""
    books, folder = book_settings(config), DataFolder(Path(config.data.folder))
    limits = LimitsUse(config.store, folder)
    usage = PricedUse(folder, config.lake.url, follow_accounts(config))
    context = AdminContext(
        open_accounts=lambda author: closing(open_accounts(config, author)),
        services=Services(pepper, books.currency, WorkspaceCredit(books), limits, usage),
        clock=clock,
        names={name.lower() for name in (config.admin.host, *config.admin.names)},
    )
    with closing(usage), closing(AdminApp(context)) as app:
        server = HttpServer(
            app,
            limits=LIMITS,
            refusal=refusal,
            on_error=on_error,
            sweep=Sweep(supervisor, "admin-connections"),
        )
        port = await server.listen(bound)
        _log.info("the admin API listens on %s:%d", config.admin.host, port)
        try:
            yield
        finally:
            await server.stop(config.gateway.drain_s)
