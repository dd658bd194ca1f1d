"""Conformance suites, one for each seam that others implement.

Each takes an implementation and raises AssertionError, with the promise, where it does not keep one:

- `check_accounts`: a store of keys, customers and prices (`accounts.stores`)
- `check_bill_reader`: a reader of bills (`books.bills`; docs/contributing/bill-reader.md)
- `check_exporter`: an export of the books (`books.exports`)
- `check_journal_store`: a store of the journal (`meter.stores`)
- `check_limits_store`: a store of the ledger of limits (`limits.stores`)
- `check_lake_store`: a store of the archive (`meter.lakes`)
- `check_provider`: a driver of an upstream (`cloud.providers`; docs/contributing/provider.md)
- `check_registry`: a store of organisations, projects and members (`accounts.stores`)
- `check_shared_rows`: a store of the accounts that gateways share (`accounts.sharing`)
"""

from inferworks.testing.accounts import check_accounts
from inferworks.testing.books import check_bill_reader
from inferworks.testing.exports import check_exporter
from inferworks.testing.lakes import check_lake_store
from inferworks.testing.limits import check_limits_store
from inferworks.testing.providers import check_provider
from inferworks.testing.registry import check_registry
from inferworks.testing.sharing import check_shared_rows
from inferworks.testing.stores import check_journal_store

__all__ = [
    "check_accounts",
    "check_bill_reader",
    "check_exporter",
    "check_journal_store",
    "check_lake_store",
    "check_limits_store",
    "check_provider",
    "check_registry",
    "check_shared_rows",
]
