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

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote

from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.passthrough import OperationSpec, model_path


def deployed(
    specs: Mapping[Operation, OperationSpec], api_version: str
) -> Mapping[Operation, OperationSpec]:
    """OpenAI's operations as `specs`, at the paths of deployments and in one version of the API."""
    version = f"?api-version={quote(api_version, safe='')}"
    return {
        operation: replace(spec, path="/deployments/", place=model_path(spec.path + version))
        for operation, spec in specs.items()
    }
