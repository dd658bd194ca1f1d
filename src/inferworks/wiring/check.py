"""Check of a configuration for all that a start or the books would refuse, with nothing opened or begun."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

from inferworks.books.exports.chart_of_accounts import load_chart
from inferworks.books.workspace.gathering import policy_of
from inferworks.config import Config
from inferworks.errors import Mistakes
from inferworks.extras import check_installed
from inferworks.folder import DataFolder
from inferworks.meter.lakes.detect import lake_at
from inferworks.secrets import parse_reference, resolve
from inferworks.wiring.books import book_settings
from inferworks.wiring.plan import Plan
from inferworks.wiring.planner import Planner
from inferworks.wiring.replicas import check_engine
from inferworks.wiring.sharing import shared_url
from inferworks.wiring.shipping import hub_of, node_of
from inferworks.wiring.webhooks import endpoint_of


def checked(config: Config, environment: Mapping[str, str]) -> Plan:
    """Return the plan of `config`; ConfigError for what is wrong with it, or with any other setting."""
    planner = Planner(environment, DataFolder(Path(config.data.folder)))
    plan = planner.plan_offline(config, dt.datetime.now(dt.UTC).date())
    mistakes = Mistakes()
    with mistakes.noted():
        check_engine(config)
    with mistakes.noted():
        if config.lake.url:
            lake_at(config.lake.url)
    with mistakes.noted("gateway.key_pepper"):
        if config.gateway.key_pepper:
            resolve(parse_reference(config.gateway.key_pepper), environment)
    with mistakes.noted():
        if shared_url(config.store):
            check_installed("psycopg", "postgres", "store.url")
    with mistakes.noted():
        if node_of(config):
            hub_of(config.ship, environment)
    with mistakes.noted():
        endpoint_of(config.webhooks, environment)
    with mistakes.noted():
        settings = book_settings(config)
        with mistakes.noted("books.policy"):
            policy_of(settings, settings.policy)
        with mistakes.noted("books.chart"):
            load_chart(settings.chart)
    mistakes.refuse()
    return plan
