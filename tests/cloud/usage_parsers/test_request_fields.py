"""Request fields without which an answer's usage cannot be counted."""

from __future__ import annotations

import pytest
from tests.support.operations import json_call

from inferworks.cloud.operation import Operation
from inferworks.cloud.usage_parsers.audio import SpeechReader, TranscriptionReader
from inferworks.errors import UpstreamError


def test_a_request_that_cannot_be_read_was_not_sent() -> None:
    """A reader is made before anything is charged for; the door lets nothing through that fails here."""
    call = json_call(Operation.SPEECH, {"input": 1})
    with pytest.raises(UpstreamError) as caught:
        SpeechReader(call)
    assert not caught.value.sent
    with pytest.raises(UpstreamError, match="no recording"):
        TranscriptionReader(json_call(Operation.TRANSCRIPTIONS, {})).whole(b"{}")
