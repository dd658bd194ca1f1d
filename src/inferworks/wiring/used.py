"""Use by customers, from the journals of a data folder and its lake."""

from __future__ import annotations

from collections.abc import Sequence

from inferworks.folder import DataFolder
from inferworks.ids import CustomerId
from inferworks.meter.archive.use_reader import UseReader
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
        reader = UseReader(lake_at(self._lake_url), *self._folder.journals())
        return reader.used(customer, edges_ns, by_key=by_key, most_rows=most_rows)
