"""Use by customers, from the journals of a data folder and its lake."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from inferworks.accounts.plan import PricePlan
from inferworks.accounts.stores.sqlite import FollowedAccounts
from inferworks.api.pricing import PricingTable
from inferworks.folder import DataFolder
from inferworks.ids import CustomerId
from inferworks.meter.lakes.detect import lake_at
from inferworks.meter.used import Used


class FolderUse:
    """Reader of what customers have used, for several threads at once."""

    def __init__(self, folder: DataFolder, lake_url: str) -> None:
        self._folder = folder
        self._lake_url = lake_url or str(folder.lake)

    def used(
        self, customer: CustomerId, edges_ns: Sequence[int], *, by_key: bool, most_rows: int
    ) -> list[Used]:
        """Return what `customer` has used in each interval, as `UseReader.used`."""
        from inferworks.meter.archive.use_reader import UseReader  # loads the archive

        reader = UseReader(lake_at(self._lake_url), *self._folder.journals())
        return reader.used(customer, edges_ns, by_key=by_key, most_rows=most_rows)


class PricedUse(FolderUse):
    """The same with the price plans, which are read when they are first asked for."""

    def __init__(self, folder: DataFolder, lake_url: str, accounts: FollowedAccounts) -> None:
        super().__init__(folder, lake_url)
        self._turn = threading.Lock()
        self._accounts = accounts
        self._tariffs: PricingTable | None = None

    def close(self) -> None:
        """Close the accounts."""
        self._accounts.close()

    def plans_of(self, customer: CustomerId) -> Sequence[PricePlan]:
        """Return the price plans of a customer's calls."""
        with self._turn:
            if self._tariffs is None:
                self._tariffs = PricingTable(self._accounts)
            self._tariffs.refresh()
            return self._tariffs.plans_of(customer)
