"""Callers that go on until they are refused, over several gateways at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from gateways.calls import SMALL_PROMPT, Target, is_whole
from gateways.client import open_connection


@dataclass
class Fates:
    """Number of calls by what became of them."""

    answered: int = 0
    refused: int = 0
    """Answered with 4xx: each is the last of its caller."""
    failed: int = 0
    """Broken off, or answered with anything else: so is each of these."""


async def call_until_refused(targets: Sequence[Target], callers: int) -> Fates:
    """Have so many callers call, spread over `targets`, each until a call of its own is not answered."""
    fates = Fates()
    await asyncio.gather(
        *(_caller(targets[number % len(targets)], fates) for number in range(callers))
    )
    return fates


async def _caller(target: Target, fates: Fates) -> None:
    request = target.request(SMALL_PROMPT)
    end = await open_connection(target)
    try:
        while True:
            if not end.usable:
                end.close()
                end = await open_connection(target)
            answer = await end.ask(request)
            if not is_whole(answer.status, answer.body):
                is_refusal = (
                    HTTPStatus.BAD_REQUEST <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR
                )
                fates.refused += is_refusal
                fates.failed += not is_refusal
                return
            fates.answered += 1
    except OSError:
        fates.failed += 1
    finally:
        end.close()
