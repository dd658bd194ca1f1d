"""Azure OpenAI: OpenAI's dialect at addresses of Azure's, with a key or a token of Entra ID.

Two APIs, and an account's row says which. `https://RESOURCE.openai.azure.com/openai/v1` is OpenAI's own,
path for path, and the model's name is the deployment's. The older one has the deployment in its path and
wants its version in every address:

    /openai/deployments/DEPLOYMENT/chat/completions?api-version=2024-10-21

What Azure adds passes as it came: `content_filter_results` in choices, and events without any choice
(`prompt_filter_results` before the first, annotations of an asynchronous filter in between).

Sources: https://learn.microsoft.com/azure/ai-foundry/openai/latest and /reference,
https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-streaming
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import quote

from inferworks.cloud.call import Call
from inferworks.cloud.offer import Offer
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.passthrough import OperationSpec


def deployed(
    specs: Mapping[Operation, OperationSpec], api_version: str
) -> Mapping[Operation, OperationSpec]:
    """OpenAI's operations as `specs`, at the paths of deployments and in one version of the API."""
    return {
        operation: replace(spec, path="/deployments/", place=_place(spec.path, api_version))
        for operation, spec in specs.items()
    }


def _place(path: str, api_version: str) -> Callable[[Call, Offer], str]:
    version = quote(api_version, safe="")

    def place(call: Call, offer: Offer) -> str:
        deployment = quote(offer.upstream_model or call.model, safe="")
        return f"{deployment}{path}?api-version={version}"

    return place
