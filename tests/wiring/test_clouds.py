"""Upstreams at Bedrock, Vertex and Azure: from a configuration to calls that their fakes let in."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inferworks.cloud.credentials.aws import SigningCredential
from inferworks.cloud.credentials.key import KeyCredential
from inferworks.cloud.credentials.token import TokenCredential
from inferworks.cloud.offer import Offer
from inferworks.cloud.operation import Operation
from inferworks.config import Config, Upstream
from inferworks.errors import ConfigError
from inferworks.http.client import HttpClient, Origin
from inferworks.http.server import Exchange, HttpServer
from inferworks.ids import ModelId
from inferworks.meter.usage import Tokens
from inferworks.testing.providers import make_call, told_tokens
from inferworks.testing.upstream import FakeUpstream
from inferworks.testing.upstreams import azure, bedrock, vertex
from inferworks.testing.upstreams.bedrock_claude import open_bedrock_claude
from inferworks.wiring.drivers import credential_of, open_provider
from inferworks.wiring.plan import Plan
from inferworks.wiring.probe import probe
from inferworks.wiring.reload import ConfigSource

PlanOf = Callable[..., Plan]
DOCUMENT = Path(__file__).parents[2] / "docs" / "providers.md"
EXAMPLES = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
ENVIRONMENT = {
    "AZURE_OPENAI_API_KEY": "key",
    "AZURE_CLIENT_SECRET": "a~client~secret",
    "AWS_BEARER_TOKEN_BEDROCK": bedrock.TOKEN,
    "GROQ_API_KEY": "key",
}
BEDROCK = """
    [[upstream]]
    name = "cloud"
    provider = "bedrock"
    region = "eu-central-1"
    models = [{ name = "nova", upstream = "eu.amazon.nova-lite-v1:0" }]
"""
GEMINI = """
    [[upstream]]
    name = "cloud"
    provider = "vertex"
    region = "europe-west1"
    project = "my-project"
    models = [{ name = "gemini", upstream = "gemini-2.5-flash" }]
"""
CLAUDE = GEMINI.replace('"vertex"', '"vertex-anthropic"').replace(
    "gemini-2.5-flash", "claude-sonnet-4-5@20250929"
)
PROJECT = "aiplatform.googleapis.com/v1/projects/my-project/locations"
AZURE = """
    [[upstream]]
    name = "cloud"
    provider = "azure"
    resource = "contoso"
    models = [{ name = "gpt", upstream = "gpt-sweden" }]
"""
DEPLOYMENTS = AZURE.replace('"azure"', '"azure-deployments"')


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key of whoever runs the tests is found."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "aws"))
    (tmp_path / "aws").write_text("[inference]\naws_access_key_id = A\naws_secret_access_key = S\n")


def test_the_examples_of_the_document(plan_of: PlanOf) -> None:
    """Each example of docs/providers.md is a configuration that can be served; every cloud has one."""
    shown = set()
    for example in EXAMPLES:
        plan = plan_of(example, ENVIRONMENT)
        shown |= {account.row.id for account in plan.accounts}
    clouds = {
        "azure",
        "azure-deployments",
        "bedrock",
        "bedrock-anthropic",
        "vertex",
        "vertex-anthropic",
    }
    assert clouds <= shown


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (BEDROCK, "https://bedrock-runtime.eu-central-1.amazonaws.com"),
        (
            GEMINI,
            f"https://europe-west1-{PROJECT}/europe-west1/endpoints/openapi",
        ),
        (
            GEMINI.replace("europe-west1", "global"),
            f"https://{PROJECT}/global/endpoints/openapi",
        ),
        (
            CLAUDE.replace("europe-west1", "global"),
            f"https://{PROJECT}/global/publishers/anthropic/models",
        ),
        (AZURE, "https://contoso.openai.azure.com/openai/v1"),
        (DEPLOYMENTS, "https://contoso.openai.azure.com/openai"),
    ],
)
def test_addresses(plan_of: PlanOf, text: str, address: str) -> None:
    """Region, project and resource are put into the address; `global` has one of its own."""
    (account,) = plan_of(text, ENVIRONMENT).accounts
    assert account.origin.url == address


@pytest.mark.parametrize(
    ("text", "environment", "kind"),
    [
        (BEDROCK, {}, SigningCredential),
        (BEDROCK, ENVIRONMENT, KeyCredential),
        (BEDROCK + 'profile = "inference"', ENVIRONMENT, SigningCredential),
        (GEMINI, {}, TokenCredential),
        (GEMINI + 'key = "env:TOKEN"', {"TOKEN": "ya29"}, KeyCredential),
        (AZURE, ENVIRONMENT, KeyCredential),
        (AZURE + 'auth = "entra"', ENVIRONMENT, TokenCredential),
        (
            DEPLOYMENTS + 'tenant = "t"\nclient = "c"\nclient_secret = "env:AZURE_CLIENT_SECRET"',
            ENVIRONMENT,
            TokenCredential,
        ),
    ],
)
def test_what_proves_who_asks(
    plan_of: PlanOf, text: str, environment: dict[str, str], kind: type[object]
) -> None:
    """A key goes before the vendor's library; a profile, a file and Entra go before the variable."""
    (account,) = plan_of(text, environment).accounts
    credential = credential_of(account)
    assert type(credential) is kind
    assert "~secret" not in repr(credential) + repr(account)


MISTAKES = {
    BEDROCK.replace('region = "eu-central-1"', ""): "set region",
    BEDROCK + 'tenant = "t"': "tenant has no meaning for provider bedrock",
    BEDROCK + 'auth = "entra"': "auth = 'entra' has no meaning for provider bedrock",
    BEDROCK + 'profile = "p"\nkey = "env:GROQ_API_KEY"': "both a key and profile",
    GEMINI + 'profile = "p"': "profile has no meaning for provider vertex",
    GEMINI.replace('project = "my-project"', ""): "set project",
    GEMINI + 'credentials = "f"\nkey = "env:GROQ_API_KEY"': "both a key and credentials",
    AZURE + 'auth = "entra"\nkey = "env:GROQ_API_KEY"': "both a key and auth",
    AZURE + 'client = "c"': "client needs tenant and client_secret too",
    AZURE + 'tenant = "t"\nclient = "c"\nclient_secret = "a-secret"': "name where the key is kept",
    AZURE.replace('resource = "contoso"', ""): "set resource",
}


@pytest.mark.parametrize("text", MISTAKES, ids=MISTAKES.values())
def test_mistakes(plan_of: PlanOf, text: str) -> None:
    """A senseless setting is refused in one line that names the upstream, and repeats no secret."""
    with pytest.raises(
        ConfigError, match=f"upstream cloud: .*{re.escape(MISTAKES[text])}"
    ) as caught:
        plan_of(text, ENVIRONMENT)
    assert "a-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "module", "what"),
    [
        (BEDROCK, "botocore.session", r"pip install .*botocore"),
        (BEDROCK + 'profile = "other"', "", "there is no AWS profile other; there are: inference"),
        (GEMINI, "google.auth", r"pip install .*google-auth"),
        (GEMINI + 'credentials = "absent.json"', "", r"absent\.json cannot be read"),
        (AZURE + 'auth = "entra"', "azure.identity", r"pip install .*azure-identity"),
    ],
)
def test_what_is_missing_is_told_with_the_upstream(
    plan_of: PlanOf, text: str, module: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library or a file that is not there stops the start, in a line that names the upstream."""
    if module:
        monkeypatch.setitem(sys.modules, module, None)
    (account,) = plan_of(text, {"AZURE_OPENAI_API_KEY": "k"}).accounts
    with pytest.raises(ConfigError, match=f"upstream cloud: .*{what}"):
        credential_of(account)


def test_calls_are_let_in(plan_of: PlanOf) -> None:
    """Through the driver that its row names, a chat reaches each cloud's fake, and is metered."""
    tokens = {"TOKEN": vertex.TOKEN}
    lines: list[tuple[str, dict[str, str], Any]] = [
        (BEDROCK, ENVIRONMENT, bedrock.open_bedrock),
        (BEDROCK.replace('"bedrock"', '"bedrock-anthropic"'), ENVIRONMENT, open_bedrock_claude),
        (GEMINI + 'key = "env:TOKEN"', tokens, vertex.open_gemini),
        (CLAUDE + 'key = "env:TOKEN"', tokens, vertex.open_vertex_claude),
        (AZURE, {"AZURE_OPENAI_API_KEY": azure.KEY}, azure.open_azure),
        (DEPLOYMENTS, {"AZURE_OPENAI_API_KEY": azure.KEY}, azure.open_azure),
    ]

    async def main() -> None:
        for text, environment, opening in lines:
            async with opening() as upstream:
                told = await chat(plan_of(text, environment), upstream)
                assert told == [Tokens(5, 3)] * 2, text

    asyncio.run(main())


async def chat(plan: Plan, upstream: FakeUpstream) -> list[Tokens | None]:
    """Tokens that a stream and a whole answer tell, of the one model of `plan` at `upstream`."""
    (account,) = plan.accounts
    (place,) = next(iter(plan.places.values()))
    assert isinstance(place, Offer)
    origin = Origin("127.0.0.1", upstream.origin.port, False, account.origin.base_path)
    offer = msgspec.structs.replace(place, origin=origin)
    told = []
    with closing(HttpClient()) as client:
        provider = open_provider(client, account)
        assert {Operation.CHAT, Operation.MESSAGES, Operation.RESPONSES} <= provider.operations
        for stream in (True, False):
            call = make_call(stream=stream)
            model = ModelId(offer.model)
            body = json.dumps({**json.loads(call.body), "model": model}).encode()
            call = msgspec.structs.replace(call, model=model, body=body)
            async with provider.send(offer, call) as reply:
                assert reply.status == 200
                told.append(told_tokens([reply.first, *[chunk async for chunk in reply.rest]]))
    return told


@pytest.mark.parametrize(
    ("text", "environment", "ok", "what"),
    [
        (BEDROCK, ENVIRONMENT, True, "has credentials; not asked: bedrock lists no models"),
        (BEDROCK, {}, False, "AWS credentials cannot be had: ConfigError: none are found"),
        (BEDROCK + 'profile = "inference"', {}, True, "has credentials"),
        (BEDROCK + 'profile = "other"', {}, False, "there is no AWS profile other"),
        (GEMINI + 'credentials = "absent.json"', {}, False, "absent.json cannot be read"),
        (DEPLOYMENTS, ENVIRONMENT, True, "has credentials; not asked: azure-deployments lists"),
    ],
)
def test_a_probe_without_a_list(
    plan_of: PlanOf, text: str, environment: dict[str, str], ok: bool, what: str
) -> None:
    """A probe tries to obtain keys or a token where no models are listed."""
    plan = plan_of(text, environment)
    probed = asyncio.run(probe(plan.accounts[0], plan))
    assert probed.ok is ok
    assert what in probed.what


def test_a_probe_of_azure(plan_of: PlanOf) -> None:
    """Azure is asked for its models with the key; that a deployment is not among them is no fault."""

    async def main() -> None:
        models = b'{"data":[{"id":"gpt-5","object":"model"}]}'
        seen: list[bytes] = []

        async def answer(exchange: Exchange) -> None:
            seen.append(exchange.headers[b"api-key"])
            await exchange.respond(200, models)

        server = HttpServer(answer)
        port = await server.start("127.0.0.1", 0)
        plan = plan_of(AZURE + f'url = "http://127.0.0.1:{port}/openai/v1"', ENVIRONMENT)
        probed = await probe(plan.accounts[0], plan)
        await server.stop(drain_s=0.0)
        assert (probed.ok, probed.what) == (True, "lists 1 models")
        assert seen == [b"key"]

    asyncio.run(main())


@pytest.mark.parametrize("setting", ["client_secret", "credentials"])
def test_a_file_that_changed_is_read_again(tmp_path: Path, setting: str) -> None:
    """The files of an application's secret and of a service account are watched as those of keys are."""
    secret = tmp_path / "secret"
    secret.write_text("first")
    upstream = Upstream(name="cloud", models=("m",))
    reference = f"file:{secret}" if setting == "client_secret" else str(secret)
    config = Config(upstream=(msgspec.structs.replace(upstream, **{setting: reference}),))
    source = ConfigSource(tmp_path / "inferworks.toml", lambda: config)
    before = source.stamp(config)
    assert source.stamp(config) == before
    secret.write_text("second and longer")
    assert source.stamp(config) != before
