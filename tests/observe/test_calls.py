"""Calls as metrics: a fold over the records, of bounded size."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.cloud.operation import Operation
from inferworks.ids import CallId, CustomerId, KeyId, ModelId, OfferId, ProjectId
from inferworks.meter.usage import Confidence, Leg, Outcome, Tokens, Usage
from inferworks.observe.calls import CallMetrics
from inferworks.observe.exposition import exposition
from inferworks.purpose import Purpose
from inferworks.testing.exposition import Scraped, parse_exposition
from inferworks.units import NS_PER_SECOND as S

MODELS = ("small", "large")


def a_leg(provider: str = "openai", outcome: Outcome = Outcome.ANSWERED, status: int = 200) -> Leg:
    """An attempt of two seconds."""
    tokens = Tokens(200, 41, cache_read=50, reasoning=7)
    return Leg(
        OfferId("an-offer"), provider, None, S, 2 * S, 3 * S, outcome, status, tokens,
        Confidence.REPORTED,
    )  # fmt: skip


def a_usage(**changes: object) -> Usage:
    """A call that was answered as a stream, in four seconds, the first byte after one."""
    usage = Usage(
        call_id=CallId("call_1"),
        customer=CustomerId("acme-the-customer"),
        project=ProjectId("default"),
        key_id=KeyId("key_secret"),
        purpose=Purpose.SERVE_PAID,
        endpoint=Operation.CHAT,
        model=ModelId("small"),
        stream=True,
        opened_ns=0,
        first_byte_ns=S,
        closed_ns=5 * S,
        outcome=Outcome.ANSWERED,
        status=200,
        error_code=None,
        tokens=Tokens(200, 41),
        confidence=Confidence.REPORTED,
        request_bytes=1,
        response_bytes=1,
        legs=(a_leg(),),
        end_user="an-end-user",
    )
    return msgspec.structs.replace(usage, **changes)


def scraped(metrics: CallMetrics) -> Scraped:
    """Samples that a scrape of `metrics` holds."""
    return parse_exposition(exposition(metrics.families()).decode() or "\n")


def counted(*usages: Usage, most_series: int = 1000) -> Scraped:
    """Samples that a scrape holds after `usages`."""
    metrics = CallMetrics(lambda: MODELS, most_series=most_series)
    for usage in usages:
        metrics.take(usage)
    return scraped(metrics)


def test_a_stream_is_timed_from_its_opening_to_its_first_and_last_byte() -> None:
    """A stream of 41 tokens: 5 s in all, 1 s to the first byte, 0.1 s for each token after it."""
    found = counted(a_usage())
    labels = {
        "gen_ai_operation_name": "chat",
        "gen_ai_provider_name": "openai",
        "gen_ai_request_model": "small",
    }
    assert found.sum("gen_ai_server_request_duration_seconds_sum", **labels) == 5
    assert found.sum("gen_ai_server_time_to_first_token_seconds_sum", **labels) == 1
    assert found.sum("gen_ai_server_time_per_output_token_seconds_sum", **labels) == Decimal("0.1")
    assert found.sum("gen_ai_client_operation_duration_seconds_sum", **labels) == 2
    assert found.sum("gen_ai_client_token_usage_sum", **labels, gen_ai_token_type="input") == 200
    assert found.sum("gen_ai_client_token_usage_sum", **labels, gen_ai_token_type="output") == 41
    assert found.sum("inferworks_token_parts_total", **labels, part="cache_read") == 50
    assert found.sum("inferworks_token_parts_total", **labels, part="reasoning") == 7
    assert not any("error_type" in dict(labels) for _, labels in found.values)


def test_a_failover_counts_as_one_call_and_two_attempts() -> None:
    """The failed attempt is under its own provider and status, and a retry of its model."""
    legs = (a_leg("azure", Outcome.FAILED, 503), a_leg())
    found = counted(a_usage(legs=legs))
    tried = "gen_ai_client_operation_duration_seconds_count"
    assert found.sum("inferworks_calls_total") == 1
    assert found.sum(tried) == 2
    assert found.sum(tried, gen_ai_provider_name="azure.ai.openai", error_type="503") == 1
    assert found.sum("inferworks_retries_total", gen_ai_request_model="small") == 1


def test_a_refused_call_has_its_code_and_no_provider() -> None:
    """A refused call counts under its code, without tokens or times of a first byte."""
    found = counted(
        a_usage(legs=(), outcome=Outcome.REFUSED, status=404, error_code="model_not_found",
                model=ModelId("an-invented-name"), first_byte_ns=None)
    )  # fmt: skip
    assert found.sum("inferworks_calls_total", error_type="model_not_found", outcome="refused") == 1
    assert found.sum("inferworks_calls_total", gen_ai_request_model="other") == 1
    assert "gen_ai_client_token_usage" not in found.types


def test_names_that_callers_invent_make_no_series() -> None:
    """A thousand models that are not configured are one series; those that are keep their names."""
    invented = (a_usage(model=ModelId(f"model-{n}"), legs=()) for n in range(1000))
    found = counted(*invented, *(a_usage(model=ModelId(name)) for name in MODELS))
    models = {dict(labels).get("gen_ai_request_model") for _, labels in found.values}
    assert models == {"other", *MODELS}
    assert found.sum("inferworks_calls_total", gen_ai_request_model="other") == 1000


def test_the_number_of_series_is_bounded() -> None:
    """Beyond the limit what is new is counted as `other`, and nothing is lost."""
    usages = [
        a_usage(error_code=f"code-{n}", outcome=Outcome.FAILED, legs=(a_leg(f"provider-{n}"),))
        for n in range(200)
    ]
    found = counted(*usages, most_series=20)
    assert found.sum("inferworks_calls_total") == 200
    assert found.sum("inferworks_calls_total", gen_ai_provider_name="other") == 180
    series = [labels for name, labels in found.values if name == "inferworks_calls_total"]
    assert len(series) == 21
    assert found.sum("gen_ai_client_operation_duration_seconds_count") == 200


USAGES = st.builds(
    a_usage,
    model=st.sampled_from([*MODELS, "", "unknown"]).map(ModelId),
    outcome=st.sampled_from(Outcome),
    confidence=st.sampled_from(Confidence),
    stream=st.booleans(),
    error_code=st.sampled_from([None, "journal", "x"]),
    first_byte_ns=st.none() | st.integers(0, 5 * S),
    legs=st.lists(
        st.builds(
            a_leg,
            st.sampled_from(["openai", "xai", ""]),
            st.sampled_from(Outcome),
            st.sampled_from([0, 200, 429]),
        ),
        max_size=3,
    ).map(tuple),
)


@pytest.mark.slow
@given(st.lists(USAGES), st.integers(1, 1000))
def test_every_call_and_attempt_is_counted_once(usages: list[Usage], most_series: int) -> None:
    """As many calls are counted as were recorded, whatever happened to them, under whatever labels."""
    found = counted(*usages, most_series=most_series)
    attempts = [leg for usage in usages for leg in usage.legs]
    assert found.sum("inferworks_calls_total") == len(usages)
    assert found.sum("gen_ai_server_request_duration_seconds_count") == len(usages)
    assert found.sum("gen_ai_client_operation_duration_seconds_count") == len(attempts)
    assert found.sum("inferworks_retries_total") == sum(max(0, len(u.legs) - 1) for u in usages)
    for outcome in Outcome:
        expected = sum(usage.outcome is outcome for usage in usages)
        assert found.sum("inferworks_calls_total", outcome=outcome) == expected


def test_no_label_tells_who_called() -> None:
    """Neither the customer nor the key nor the end user is anywhere in a scrape."""
    metrics = CallMetrics(lambda: MODELS)
    metrics.take(a_usage())
    text = exposition(metrics.families()).decode()
    assert not any(word in text for word in ("acme", "key_secret", "an-end-user", "call_1"))
