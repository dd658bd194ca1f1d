"""An upstream that names Stability's row is spoken to in its words, and serves OpenAI's pictures too."""

from __future__ import annotations

import datetime as dt
from contextlib import closing

from inferworks.catalog.providers import provider_catalog
from inferworks.cloud.operation import Operation
from inferworks.config import Upstream
from inferworks.http.client import HttpClient
from inferworks.wiring.drivers import check_driver, open_provider
from inferworks.wiring.upstreams import account_of


def test_the_row_of_stability() -> None:
    """The row of the catalog leads to the driver, at Stability's address and with its key."""
    row = provider_catalog().row("stability", dt.date(2026, 11, 21))
    upstream = Upstream(name="pictures", provider="stability", models=("sd3.5-large",))
    account = account_of(upstream, row, {"STABILITY_API_KEY": "sk-theirs"})
    check_driver(account)
    assert account.origin.url == "https://api.stability.ai/v2beta"
    assert account.secret is not None
    with closing(HttpClient()) as client:
        provider = open_provider(client, account)
    assert provider.name == "pictures"
    assert provider.operations == {Operation.STABLE_IMAGE, Operation.IMAGES}
