"""Deployments at the clouds in a LiteLLM file become upstreams that can be served."""

from __future__ import annotations

import datetime as dt
from typing import Any

from inferworks.catalog.providers import provider_catalog
from inferworks.cli.config_text import config_toml
from inferworks.cli.litellm.config import import_litellm
from inferworks.config import Upstream
from inferworks.wiring.plan import make_plan

SECRET = "a~client~secret"


def made_of(model: str, **params: Any) -> tuple[Upstream, tuple[str, ...]]:
    """The upstream of one deployment, which can be planned, and what is told of it."""
    entry = {"model_name": "m", "litellm_params": {"model": model, **params}}
    made = import_litellm({"model_list": [entry]}, {})
    assert SECRET not in config_toml(made.config) + str(made.notes)
    make_plan(
        made.config, {"AZURE_CLIENT_SECRET": "s", "MY_SECRET": "s"}, provider_catalog(),
        lambda _s, _m: None, own=[], day=dt.date(2026, 11, 21),
    )  # fmt: skip
    (upstream,) = made.config.upstream
    return upstream, made.notes


def test_bedrock() -> None:
    """Region and profile are taken over."""
    upstream, notes = made_of(
        "bedrock/eu.amazon.nova-lite-v1:0", aws_region_name="eu-central-1", aws_profile_name="p"
    )
    assert (upstream.provider, upstream.region, upstream.profile) == (
        "bedrock",
        "eu-central-1",
        "p",
    )
    assert (upstream.key, notes) == ("", ())


def test_vertex() -> None:
    """Gemini and Claude are two providers; a key file is named, a key in the file is not copied."""
    place = {"vertex_project": "p", "vertex_location": "europe-west1"}
    gemini, notes = made_of("vertex_ai/gemini-2.5-flash", **place, vertex_credentials="k.json")
    assert (gemini.provider, gemini.project, gemini.credentials) == ("vertex", "p", "k.json")
    assert notes == ()
    claude, (note,) = made_of(
        "vertex_ai/claude-sonnet-4-5@20250929", **place, vertex_credentials='{"private_key": "x"}'
    )
    assert (claude.provider, claude.credentials) == ("vertex-anthropic", "")
    assert "write the path of the key file to credentials" in note


def test_azure_with_an_application() -> None:
    """Tenant, client and where its secret is kept are taken over, in place of a key."""
    application = {
        "api_base": "https://eu.openai.azure.com", "tenant_id": "t", "client_id": "c",
    }  # fmt: skip
    upstream, notes = made_of("azure/gpt", **application, client_secret="os.environ/MY_SECRET")
    assert (upstream.tenant, upstream.client, upstream.client_secret) == ("t", "c", "env:MY_SECRET")
    assert notes == ()
    upstream, (note,) = made_of("azure/gpt", **application, client_secret=SECRET)
    assert upstream.client_secret == "env:AZURE_CLIENT_SECRET"
    assert "not copied: put it into the variable AZURE_CLIENT_SECRET" in note
