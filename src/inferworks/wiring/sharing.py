"""The database that gateways share, as configured: where it is, and the drivers of what is in it."""

from __future__ import annotations

from inferworks.accounts.sharing.base import SharedRows
from inferworks.config import Store
from inferworks.errors import ConfigError
from inferworks.extras import required


def shared_url(store: Store) -> str:
    """Return the URL of the shared database; empty for none. ConfigError when it is no such URL."""
    scheme, _, rest = store.url.partition("://")
    if not store.url:
        return ""
    if scheme not in ("postgresql", "postgres"):
        raise ConfigError("store.url is a postgresql:// URL, or empty for the data folder")
    if "@" in rest and ":" in rest.split("@")[0]:
        raise ConfigError(
            "store.url must not hold a password: PostgreSQL takes it from PGPASSWORD or ~/.pgpass"
        )
    return store.url


def shared_rows(store: Store) -> SharedRows | None:
    """Return the accounts that gateways share; None where each has its own."""
    url = shared_url(store)
    if not url:
        return None
    module = required("inferworks.accounts.sharing.postgres", "postgres", "store.url")
    made: SharedRows = module.PostgresRows(url)
    return made
