"""Amazon Bedrock: Converse and ConverseStream, one form for every model that it serves.

The model stands in the path, its name or its ARN quoted as one segment; the body is the caller's. Callers
of other dialects reach it through `cloud.translate`. Streams come in Amazon's binary messages, which
`readers.converse` turns into events. The credential is a signature (`credentials.aws`) or a bearer token,
Bedrock's API key.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

from __future__ import annotations

from typing import Final

from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.passthrough import Framing, OperationSpec, Profile, model_path
from inferworks.cloud.usage_parsers.converse import ConverseEvents, ConverseReader
from inferworks.http.eventstream import CONTENT_TYPE

_MESSAGES: Final = Framing(CONTENT_TYPE, ConverseEvents)


BEDROCK: Final = Profile(
    "bedrock",
    {
        Operation.CONVERSE: OperationSpec(
            "/model/",
            ConverseReader,
            place=model_path("/converse", "/converse-stream"),
            framing=_MESSAGES,
        ),
    },
)
"""Profile of `https://bedrock-runtime.REGION.amazonaws.com`."""
