"""Stages for the drivers of the clouds: each over real HTTP to a fake that wants the right proof.

None of these clouds tells of tokens before the end of a stream. `check_provider` is what they are for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

from inferworks.cloud.credentials.aws import key_credential
from inferworks.cloud.providers.bedrock import bedrock_provider
from inferworks.cloud.providers.stub import Script
from inferworks.cloud.translate.table import TRANSLATIONS
from inferworks.cloud.translating import TranslatingProvider
from inferworks.http.client import HttpClient, Origin, Timeouts
from inferworks.testing.providers import Stage, make_offer
from inferworks.testing.upstream import Fault
from inferworks.testing.upstreams.bedrock import KEY, REGION, ConverseAnswer, open_bedrock

NOWHERE = Origin("127.0.0.1", 1, tls=False, base_path="")
"""An address where nothing listens."""


@asynccontextmanager
async def stage_bedrock(script: Script) -> AsyncIterator[Stage]:
    """Chats put in the words of Converse, signed, and sent to a fake that checks the signature."""
    async with open_bedrock(_converse_answer(script)) as upstream:
        offer = make_offer(origin=NOWHERE if script.unreachable else upstream.origin)
        with closing(HttpClient(Timeouts(connect_s=1.0))) as client:
            credential = key_credential(REGION, KEY.access_key_id, KEY.secret)
            provider = bedrock_provider(client, credential, name="bedrock")
            translating = TranslatingProvider(provider, TRANSLATIONS)
            yield Stage(translating, offer, lambda: upstream.left_early, tells_along=False)


def _converse_answer(script: Script) -> ConverseAnswer:
    """`script` as a wire script; the first event of Converse is no token."""
    broken = script.breaks_after
    return ConverseAnswer(
        words=script.words,
        input_tokens=script.input_tokens,
        status=script.status,
        fault=Fault.NONE if broken is None else Fault.RESET,
        fault_after=0 if not broken else 1 + broken,
        event_s=script.token_s,
    )
