"""Everything below `/v1/responses/`: what would need a response that was made before.

Responses are stored, if at all, at the upstream that made them. Which account at which upstream an id
belongs to is known to nobody here, and what is fetched or continued by an id is work that no call of ours
accounts for. So there is nothing here by any id, and an answer that says so.
"""

from __future__ import annotations

from inferworks.api.admission import authenticate
from inferworks.api.context import AppContext
from inferworks.errors import CallError
from inferworks.http.server import Exchange


async def not_kept(exchange: Exchange, context: AppContext) -> None:
    """Refuse with status 404."""
    authenticate(exchange, context.keyring, context.clock)
    raise CallError(
        404,
        f"There is nothing at {exchange.path[:200]}: no responses are kept here. "
        "Send the whole conversation in 'input'.",
        code="response_not_found",
    )
