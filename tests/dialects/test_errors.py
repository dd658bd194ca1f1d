"""Error bodies of every vendor: read as far as they go, and the status that a kind of error has."""

from __future__ import annotations

import msgspec
import pytest

from inferworks.dialects.errors import (
    STATUS_OF_KIND,
    AmazonError,
    AnthropicError,
    AnthropicErrorFields,
    AnyError,
    GoogleError,
    OpenAIError,
    OpenAIErrorFields,
    OpenAIRefusal,
    StabilityRefusal,
    anthropic_error_type,
    openai_error_type,
)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (404, "invalid_request_error"),
        (428, "invalid_request_error"),
        (429, "rate_limit_error"),
        (430, "invalid_request_error"),
        (499, "invalid_request_error"),
        (500, "server_error"),
        (529, "server_error"),
    ],
)
def test_the_type_of_an_error_at_openai(status: int, kind: str) -> None:
    """From 500 on the server is at fault, below it the request; 429 alone is a limit."""
    assert openai_error_type(status) == kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (422, "invalid_request_error"),
        (429, "rate_limit_error"),
        (499, "invalid_request_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_the_type_of_an_error_at_anthropic(status: int, kind: str) -> None:
    """A status that Anthropic does not list is the server's fault from 500 on, else the request's."""
    assert anthropic_error_type(status) == kind


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 413, 429, 500, 504, 529])
def test_a_type_of_anthropics_has_its_status_again(status: int) -> None:
    """A type in the body of an answer that said 200 leads to the status that it is written for."""
    assert STATUS_OF_KIND[anthropic_error_type(status)] == status


@pytest.mark.parametrize("status", [400, 429, 500])
def test_a_type_of_openais_has_its_status_again(status: int) -> None:
    """The same for OpenAI's three types."""
    assert STATUS_OF_KIND[openai_error_type(status)] == status


def test_kinds_are_looked_up_in_lower_case() -> None:
    """Every kind is in lower case, for Amazon's and Google's are written in others; all are errors."""
    assert all(kind == kind.lower() for kind in STATUS_OF_KIND)
    assert all(400 <= status < 600 for status in STATUS_OF_KIND.values())


def test_an_error_of_openais_has_all_four_fields() -> None:
    """A field that is not known is null and not absent, as clients expect."""
    body = msgspec.json.encode(OpenAIError(OpenAIErrorFields("no", "server_error")))
    assert body == b'{"error":{"message":"no","type":"server_error","param":null,"code":null}}'


def test_an_error_of_anthropics_leaves_out_what_it_lacks() -> None:
    """Details and the id of a request stand in the body only where there are any."""
    fields = AnthropicErrorFields("api_error", "no")
    assert msgspec.json.encode(AnthropicError("error", fields)) == (
        b'{"type":"error","error":{"type":"api_error","message":"no"}}'
    )
    told = AnthropicError("error", msgspec.structs.replace(fields, details={"a": 1}), "req_1")
    assert msgspec.json.decode(msgspec.json.encode(told)) == {
        "type": "error",
        "error": {"type": "api_error", "message": "no", "details": {"a": 1}},
        "request_id": "req_1",
    }


@pytest.mark.parametrize("body", [b"{}", b'{"error":{}}', b'{"error":{"other":1},"more":2}'])
def test_a_refusal_in_openais_dialect_may_lack_anything(body: bytes) -> None:
    """A refusal with fields missing is read as one that says nothing in them."""
    error = msgspec.json.decode(body, type=OpenAIRefusal).error
    assert (error.message, error.type, error.code, error.param) == ("", "", "", "")


def test_amazon_has_two_names_for_the_message() -> None:
    """A wrong signature is told of under a capital letter; both names are read."""
    assert msgspec.json.decode(b'{"message":"a"}', type=AmazonError) == AmazonError("a", "")
    assert msgspec.json.decode(b'{"Message":"b"}', type=AmazonError) == AmazonError("", "b")


def test_google_must_have_an_error() -> None:
    """A body without `error` is not Google's; one with Anthropic's type says so."""
    with pytest.raises(msgspec.ValidationError, match="missing required field `error`"):
        msgspec.json.decode(b'{"message":"a"}', type=GoogleError)
    handed_on = b'{"type":"error","error":{"type":"api_error","message":"a"}}'
    read = msgspec.json.decode(handed_on, type=GoogleError)
    assert (read.type, read.error.message) == ("error", "a")


def test_refusals_of_stabilitys_share_no_list() -> None:
    """The list of errors that one refusal lacks is not the list of another."""
    one, other = StabilityRefusal(), StabilityRefusal()
    one.errors.append("no")
    assert other.errors == []


def test_an_error_of_any_vendor() -> None:
    """Codes and statuses are read as words or as numbers, and what is in `error` stays as it is."""
    read = msgspec.json.decode(
        b'{"code":429,"status":"RESOURCE_EXHAUSTED","error":{"a": 1}}', type=AnyError
    )
    assert (read.code, read.status, read.message) == (429, "RESOURCE_EXHAUSTED", None)
    assert bytes(read.error) == b'{"a": 1}'
    assert not bytes(msgspec.json.decode(b"{}", type=AnyError).error)
