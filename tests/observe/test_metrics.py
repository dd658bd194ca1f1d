"""`GET /metrics` of a whole platform: for whom, what is in it, and that it agrees with the journal."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.command_line import invoke

from inferworks.config import Observe
from inferworks.errors import ConfigError
from inferworks.folder import DataFolder
from inferworks.http.server import bind
from inferworks.meter.reader import JournalReader
from inferworks.meter.usage import Outcome
from inferworks.observe.table import METRICS
from inferworks.testing.exposition import parse_exposition
from inferworks.testing.upstream import Answer, Fault

from .conftest import ASKED, MODEL, OpenWorld, Run, World, new_key

FOREVER = (0, 2**63 - 1)


def recorded(world: World) -> dict[str, int]:
    """Calls on record, by outcome."""
    with JournalReader(world.folder.journal) as reader:
        outcomes = [usage.outcome for usage in reader.usages(*FOREVER)]
    return {str(outcome): outcomes.count(outcome) for outcome in set(outcomes)}


@pytest.mark.slow
def test_counted_calls_are_the_recorded_ones(
    open_world: OpenWorld, run: Run, tmp_path: Path
) -> None:
    """After answers, streams, refusals and failures the scrape says what the journal says."""
    folder = DataFolder(tmp_path / "data")
    caller, monitor = new_key(folder), new_key(folder, monitor=True)

    async def main() -> None:
        async with open_world() as world:
            for _ in range(3):
                assert (await world.ask(caller, body=ASKED)).status == 200
            assert (await world.ask(caller, body={**ASKED, "stream": True})).status == 200
            assert (await world.ask(caller, body={**ASKED, "model": "nobody's"})).status == 404
            assert (await world.ask(caller, body={**ASKED, "n": 1000})).status == 400
            world.upstream.script(Answer(status=500))
            assert (await world.ask(caller, body=ASKED)).status == 502
            world.upstream.script(Answer(fault=Fault.RESET))
            assert (await world.ask(caller, body={**ASKED, "stream": True})).status in {200, 502}
            answer = await world.ask(monitor, "/metrics")
            assert answer.status == 200
            assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
            found = parse_exposition(answer.body.decode())
            on_record = recorded(world)
            assert sum(on_record.values()) == 8
            for outcome in Outcome:
                number = found.sum("inferworks_calls_total", outcome=outcome)
                assert number == on_record.get(outcome, 0), outcome
            assert found.sum("inferworks_calls_total", gen_ai_request_model=MODEL) == 6
            assert found.sum("gen_ai_server_time_to_first_token_seconds_count") == 1
            assert found.sum("inferworks_breaker_state", offer=f"fake/{MODEL}") == 1
            assert found.sum("inferworks_journal_commit_seconds_count") >= 1
            assert found.sum("inferworks_journal_records_total") >= 8
            assert found.sum("inferworks_journal_failed") == 0
            assert found.sum("inferworks_drains_running") == 0
            assert found.sum("process_cpu_seconds_total") > 0

    run(main())


def test_only_what_the_table_lists_is_shown(
    open_world: OpenWorld, run: Run, tmp_path: Path
) -> None:
    """Each metric of a scrape is a row of the table, of its kind and with its labels alone."""
    monitor = new_key(DataFolder(tmp_path / "data"), monitor=True)
    rows = {metric.name: metric for metric in METRICS}

    async def main() -> None:
        async with open_world() as world:
            found = parse_exposition((await world.ask(monitor, "/metrics")).body.decode())
        assert found.types
        for name, kind in found.types.items():
            assert rows[name].kind == kind
            labels = {
                label for (n, has), _ in found.values.items() if n == name for label, _ in has
            }
            assert labels <= set(rows[name].labels)

    run(main())


def test_metrics_are_for_monitors_and_monitors_for_metrics(
    open_world: OpenWorld, run: Run, tmp_path: Path
) -> None:
    """Without a key 401, with a caller's 403; and a monitor's key makes no calls."""
    folder = DataFolder(tmp_path / "data")
    caller, monitor = new_key(folder), new_key(folder, monitor=True)

    async def main() -> None:
        async with open_world() as world:
            assert (await world.ask("", "/metrics")).status == 401
            refused = await world.ask(caller, "/metrics")
            assert (refused.status, refused.json["error"]["code"]) == (403, "not_a_monitor_key")
            for path, body in (("/v1/chat/completions", ASKED), ("/v1/models", None)):
                refused = await world.ask(monitor, path, body)
                assert (refused.status, refused.json["error"]["code"]) == (403, "monitor_key")
            assert world.upstream.received == []
            assert recorded(world) == {}

    run(main())


def test_an_address_of_their_own_needs_no_key(open_world: OpenWorld, run: Run) -> None:
    """The listener for a scraper serves the metrics, and nothing else."""
    with bind("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    observe = Observe(metrics_listen=f"127.0.0.1:{port}")

    async def main() -> None:
        async with open_world(observe=observe) as world:
            at = f"http://127.0.0.1:{port}"
            assert (await world.ask("", "/metrics", at=at)).status == 200
            assert (await world.ask("", "/v1/models", at=at)).status == 404
            assert (await world.ask("", "/metrics")).status == 401

    run(main())


@pytest.mark.slow
def test_a_taken_address_is_one_clear_line(open_world: OpenWorld, run: Run) -> None:
    """An address that something else holds is named with its setting, before anything is written."""

    async def main() -> None:
        with bind("127.0.0.1", 0) as taken:
            at = f"127.0.0.1:{taken.getsockname()[1]}"
            with pytest.raises(ConfigError, match=r"observe.metrics_listen: cannot listen on"):
                async with open_world(observe=Observe(metrics_listen=at)):
                    pass

    run(main())


@pytest.mark.slow
def test_metrics_can_be_left_out(open_world: OpenWorld, run: Run, tmp_path: Path) -> None:
    """A monitor gets 404 where no metrics are kept."""
    monitor = new_key(DataFolder(tmp_path / "data"), monitor=True)

    async def main() -> None:
        async with open_world(observe=Observe(metrics=False)) as world:
            assert (await world.ask(monitor, "/metrics")).status == 404

    run(main())


def test_the_status_shows_how_calls_ended(open_world: OpenWorld, run: Run, tmp_path: Path) -> None:
    """`inferworks status` has the calls of the last hour by model, running or not."""
    folder = DataFolder(tmp_path / "data")
    caller = new_key(folder)

    def status() -> dict[str, Any]:
        arguments = ["status", "--json", "--data", str(folder.path)]
        return dict(json.loads(invoke(*arguments).stdout))

    async def main() -> None:
        async with open_world() as world:
            for body in (ASKED, ASKED, {**ASKED, "n": 1000}):
                await world.ask(caller, body=body)
            shown = await asyncio.to_thread(status)
            assert (shown["state"], shown["calls"]) == ("ok", {"answered": 2, "refused": 1})
            model = shown["models"][MODEL]
            assert model["calls"] == 2
            assert model["input_tokens"] > 0
            assert model["duration_ms"]["p50"] <= model["duration_ms"]["p95"]
        shown = await asyncio.to_thread(status)
        assert (shown["state"], shown["calls"]["answered"]) == ("not running", 2)

    run(main())
