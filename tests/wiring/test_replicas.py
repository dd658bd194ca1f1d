"""Our own replicas: what a configuration asks for, and what a start needs for that."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from inferworks.clock import SystemClock
from inferworks.cloud.operation import Operation
from inferworks.config import Config, Engine
from inferworks.errors import ExtraError
from inferworks.folder import DataFolder
from inferworks.http.client import HttpClient
from inferworks.observe.gauges import Commits
from inferworks.supervise import Supervisor
from inferworks.wiring.plan import EMBEDDED_MODEL, OWN
from inferworks.wiring.replicas import check_engine, new_token, own_provider, running_fleet
from inferworks.wiring.storage import open_journal


@pytest.fixture
def without_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which the embedded engine's package is not installed."""
    monkeypatch.setattr("inferworks.extras.is_installed", lambda _: False)


@pytest.mark.usefixtures("without_engine")
def test_replicas_need_the_embedded_engine() -> None:
    """The line names the setting that does without, and the command that installs it."""
    with pytest.raises(ExtraError) as refused:
        check_engine(Config(engine=Engine(replicas=1)))
    assert str(refused.value).startswith(
        "the embedded engine (engine.replicas = 0 runs none) needs the package onnxruntime: "
    )
    assert "pip install" in str(refused.value)


@pytest.mark.usefixtures("without_engine")
def test_no_replicas_need_nothing() -> None:
    """A gateway to other people's APIs is asked for no engine."""
    check_engine(Config(engine=Engine(replicas=0)))


def test_each_start_has_a_token_of_its_own() -> None:
    """A token has 256 bits, and fits a header and a line of text as it is."""
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    for token in tokens:
        assert len(token) == 43
        assert token.replace("-", "").replace("_", "").isalnum()
        assert token.isascii()


def test_a_replica_speaks_chat_and_is_sent_the_rest_translated() -> None:
    """Callers of other dialects reach our own replicas too; what is no chat does not."""

    async def main() -> None:
        client = HttpClient()
        try:
            provider = own_provider(client, "secret-token")
        finally:
            client.close()
        assert provider.name == OWN
        wanted = {Operation.CHAT, Operation.MESSAGES, Operation.RESPONSES, Operation.COMPLETIONS}
        assert wanted <= provider.operations
        assert not {Operation.EMBEDDINGS, Operation.IMAGES} & provider.operations
        assert "secret-token" not in repr(provider)

    asyncio.run(main())


def test_a_fleet_of_none_is_ready_at_once(tmp_path: Path) -> None:
    """No process is started, nothing is offered, and the end is in order."""
    folder = DataFolder(tmp_path / "data")
    folder.create()
    config = Config(engine=Engine(replicas=0))
    supervisor = Supervisor()

    async def main() -> None:
        with open_journal(folder, threading.Lock(), Commits()) as journal:
            running = running_fleet(config, folder, journal, SystemClock(), supervisor, new_token())
            async with running as fleet:
                assert fleet.models() == []
                assert fleet.offers(EMBEDDED_MODEL) == []
                assert fleet.status() == {}

    asyncio.run(main())
    assert supervisor.ill() == []
