"""A running platform tells its customers what is in its journals and its lake."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop
from tests.support.lake_world import DAY_1_NS, write

from inferworks.accounts.customer import Customer
from inferworks.accounts.limit import Limit, Measure, Scope, ScopeKind, Window
from inferworks.accounts.plan import PricePlan, token_terms
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.config import Config, Data, Engine, Gateway
from inferworks.folder import DataFolder
from inferworks.http.client import Origin
from inferworks.ids import CustomerId
from inferworks.meter.archive.journal import SealingJournal
from inferworks.meter.archive.schema import DAY_NS
from inferworks.meter.archive.seal import seal
from inferworks.meter.lakes.local import LocalLake
from inferworks.testing.facts import make_usage
from inferworks.units import NS_PER_SECOND
from inferworks.wiring import open_platform

pytestmark = pytest.mark.slow

DEFAULT = CustomerId("default")


async def told(url: str, path: str, secret: str) -> Any:
    """Return what is at `path` for a key."""
    origin = Origin.parse(url)
    reader, writer = await asyncio.open_connection(origin.host, origin.port)
    head = f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-api-key: {secret}\r\n\r\n"
    writer.write(head.encode())
    head_, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert head_.split(b" ")[1] == b"200", body
    return msgspec.json.decode(body)


def test_archived_and_new_calls_are_told(tmp_path: Path) -> None:
    """Calls of the lake and of the journal count once each, at the price of the plan; so do limits."""
    folder = DataFolder(tmp_path / "data")
    folder.create()
    calls = [
        make_usage(call_id=f"call_{n}", opened_ns=DAY_1_NS + n * DAY_NS // 4, customer=DEFAULT)
        for n in range(16)
    ]
    write(folder.journal, calls)
    with SealingJournal(folder.journal) as journal:
        seal(journal, LocalLake(folder.lake), DAY_1_NS + 2 * DAY_NS)
    with closing(SqliteAccounts(folder.accounts)) as accounts:
        accounts.add_customer(Customer(DEFAULT, 1))
        accounts.add_plan(PricePlan(DEFAULT, 1, token_terms("USD", 10, 100)))
        scope = Scope(ScopeKind.CUSTOMER, DEFAULT)
        accounts.add_limit(
            Limit(id="limit_1", scope=scope, measure=Measure.TOKENS, window=Window.DAY, amount=50)
        )

    async def main() -> None:
        config = Config(
            gateway=Gateway(port=0), data=Data(folder=str(folder.path)), engine=Engine(replicas=0)
        )
        async with open_platform(config, {}) as platform:
            assert platform.first_key is not None
            start = f"start_time={DAY_1_NS // NS_PER_SECOND}"
            for more in ("", "&bucket_width=1h&limit=100&group_by=api_key_id"):
                path = f"/v1/usage?{start}&end_time={DAY_1_NS // NS_PER_SECOND + 4 * 86_400}{more}"
                page = await told(platform.url, path, platform.first_key)
                results = [one for bucket in page["data"] for one in bucket["results"]]
                assert sum(one["num_model_requests"] for one in results) == 16
                assert sum(one["input_tokens"] for one in results) == 1600
                costs = [cost["value"] for one in results for cost in one["cost"]]
                assert sum(map(float, costs)) == pytest.approx(16 * (100 * 10 + 20 * 100) / 1e12)
            [limit] = (await told(platform.url, "/v1/limits", platform.first_key))["data"]
            assert (limit["id"], limit["used"], limit["left"]) == ("limit_1", 0, 50)

    uvloop.run(main())
