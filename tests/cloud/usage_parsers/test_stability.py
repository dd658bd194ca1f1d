"""Usage of Stability's pictures: each answer is one."""

from __future__ import annotations

import pytest
from tests.support.operations import form_call

from inferworks.cloud.operation import Operation
from inferworks.cloud.usage_parsers.stability import StableImageReader
from inferworks.errors import UpstreamError


@pytest.mark.parametrize("data", [b"", b"{}", b'{"errors":["no"]}', b"{", b'{"image":1}'])
def test_no_picture_is_no_answer(data: bytes) -> None:
    """JSON without a picture, and nothing at all, are no pictures."""
    call = form_call(Operation.STABLE_IMAGE, {"prompt": "A cat."})
    with pytest.raises(UpstreamError):
        StableImageReader(call).whole(data)
    with pytest.raises(UpstreamError):
        StableImageReader(call).event(data)
