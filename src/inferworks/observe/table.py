"""Every metric there is, as rows; docs/observability.md shows the same table.

Names that OpenTelemetry's conventions have are theirs, put into Prometheus' words as its exporters do:
dots become underscores and the unit an ending. `client` is what we ask of upstreams, one count per attempt;
`server` is what callers ask of us, one count per call. No label names a customer, a key or an end user.
"""

from __future__ import annotations

from typing import Final

from inferworks.observe.metric import (
    COMMIT_NS,
    FIRST_TOKEN_NS,
    PER_TOKEN_NS,
    SECONDS_NS,
    TOKENS,
    Kind,
    Metric,
)
from inferworks.units import NS_PER_SECOND

_OPERATION: Final = "gen_ai_operation_name"
_PROVIDER: Final = "gen_ai_provider_name"
_MODEL: Final = "gen_ai_request_model"
_ERROR: Final = "error_type"
CALL_LABELS: Final = (_OPERATION, _PROVIDER, _MODEL, _ERROR)

CALLS: Final = Metric(
    "inferworks_calls_total",
    Kind.COUNTER,
    "Calls that ended: each is one record in the journal.",
    (*CALL_LABELS, "outcome", "confidence", "stream"),
)
REQUEST_DURATION: Final = Metric(
    "gen_ai_server_request_duration_seconds",
    Kind.HISTOGRAM,
    "Time from a call's opening to its last byte.",
    CALL_LABELS,
    "gen_ai.server.request.duration",
    SECONDS_NS,
    NS_PER_SECOND,
)
FIRST_TOKEN: Final = Metric(
    "gen_ai_server_time_to_first_token_seconds",
    Kind.HISTOGRAM,
    "Time from a call's opening to the first byte of its stream; answered streams only.",
    CALL_LABELS[:3],
    "gen_ai.server.time_to_first_token",
    FIRST_TOKEN_NS,
    NS_PER_SECOND,
)
PER_TOKEN: Final = Metric(
    "gen_ai_server_time_per_output_token_seconds",
    Kind.HISTOGRAM,
    "Time per output token after the first; answered streams only.",
    CALL_LABELS[:3],
    "gen_ai.server.time_per_output_token",
    PER_TOKEN_NS,
    NS_PER_SECOND,
)
ATTEMPT_DURATION: Final = Metric(
    "gen_ai_client_operation_duration_seconds",
    Kind.HISTOGRAM,
    "Time of an attempt at an upstream, from its start to its end.",
    CALL_LABELS,
    "gen_ai.client.operation.duration",
    SECONDS_NS,
    NS_PER_SECOND,
)
TOKEN_USAGE: Final = Metric(
    "gen_ai_client_token_usage",
    Kind.HISTOGRAM,
    "Tokens of an attempt that used any, those of failed attempts too.",
    (*CALL_LABELS[:3], "gen_ai_token_type"),
    "gen_ai.client.token.usage",
    TOKENS,
)
TOKEN_PARTS: Final = Metric(
    "inferworks_token_parts_total",
    Kind.COUNTER,
    "Tokens read from or written to a provider's cache (of the input), and reasoned (of the output).",
    (*CALL_LABELS[:3], "part"),
)
RETRIES: Final = Metric(
    "inferworks_retries_total",
    Kind.COUNTER,
    "Attempts beyond the first of their call: retries, fallbacks and hedges.",
    (_OPERATION, _MODEL),
)
CALLS_RUNNING: Final = Metric("inferworks_calls_running", Kind.GAUGE, "Calls being served.")
CALLS_QUEUED: Final = Metric(
    "inferworks_calls_queued", Kind.GAUGE, "Calls that wait for their customer's turn to be served."
)
QUEUE_WAIT: Final = Metric(
    "inferworks_queue_wait_seconds",
    Kind.HISTOGRAM,
    "Time for which a call waited for its turn, by how the wait ended: admitted, expired, evicted, left.",
    ("outcome",),
    bounds=FIRST_TOKEN_NS,
    scale=NS_PER_SECOND,
)
CONNECTIONS: Final = Metric(
    "inferworks_connections", Kind.GAUGE, "Connections of clients that are open."
)
DRAINS: Final = Metric(
    "inferworks_drains_running",
    Kind.GAUGE,
    "Answers that are read to their end though their clients have left.",
)
ATTEMPTS_RUNNING: Final = Metric(
    "inferworks_attempts_running", Kind.GAUGE, "Attempts running at an offer.", ("offer",)
)
BREAKERS: Final = Metric(
    "inferworks_breaker_state",
    Kind.GAUGE,
    "1 for the state that an offer's circuit breaker is in.",
    ("offer", "state"),
)
REPLICAS: Final = Metric(
    "inferworks_replica_state",
    Kind.GAUGE,
    "1 for the state that one of our own replicas is in.",
    ("replica", "state"),
)
JOURNAL_QUEUE: Final = Metric(
    "inferworks_journal_queue_length", Kind.GAUGE, "Entries that wait for the journal's writer."
)
JOURNAL_COMMIT: Final = Metric(
    "inferworks_journal_commit_seconds",
    Kind.HISTOGRAM,
    "Time of one group commit to the journal, the flush to the disk included.",
    bounds=COMMIT_NS,
    scale=NS_PER_SECOND,
)
JOURNAL_RECORDS: Final = Metric(
    "inferworks_journal_records_total", Kind.COUNTER, "Records that the journal has committed."
)
JOURNAL_FAILED: Final = Metric(
    "inferworks_journal_failed",
    Kind.GAUGE,
    "1 when the journal has failed: no call is answered until a restart.",
)
TRANSCRIPTS_DROPPED: Final = Metric(
    "inferworks_transcripts_dropped_total",
    Kind.COUNTER,
    "Transcripts that could not be kept.",
)
ACCESS_DROPPED: Final = Metric(
    "inferworks_access_log_dropped_total",
    Kind.COUNTER,
    "Lines of the access log that could not be written.",
)
LOOP_STOOD: Final = Metric(
    "inferworks_loop_longest_stall_seconds",
    Kind.GAUGE,
    "The longest that the event loop stood still within the last minute.",
    scale=NS_PER_SECOND,
)
WORK_FAILURES: Final = Metric(
    "inferworks_work_failures_total",
    Kind.COUNTER,
    "Failures of background work: looking at the keys, collecting traces, sealing and the like.",
    ("work",),
)
WORK_UNWELL: Final = Metric(
    "inferworks_work_unwell_seconds",
    Kind.GAUGE,
    "Time since background work began to fail, or the turn it is busy with; 0 when it is well.",
    ("work",),
    scale=NS_PER_SECOND,
)
WORK_AGE: Final = Metric(
    "inferworks_work_success_age_seconds",
    Kind.GAUGE,
    "Time since background work last succeeded: of `keys`, how old the keys are.",
    ("work",),
    scale=NS_PER_SECOND,
)
_LIMITED: Final = ("measure", "scope")
LIMIT_USED: Final = Metric(
    "inferworks_limit_used_ratio",
    Kind.GAUGE,
    "Used part of a limit, 0 to 1, by the limit's id: of the most used in force (`observe.limit_series`).",
    ("limit",),
    scale=10**6,
)
LIMIT_REFUSALS: Final = Metric(
    "inferworks_limit_refusals_total",
    Kind.COUNTER,
    "Calls that were refused, or ended amid their answer, for a limit, by the kind of its scope.",
    _LIMITED,
)
LIMIT_WARNINGS: Final = Metric(
    "inferworks_limit_warnings_total",
    Kind.COUNTER,
    "Warnings raised because a share of a limit was used, by the kind of its scope.",
    _LIMITED,
)
LIMIT_DRAWS: Final = Metric(
    "inferworks_limit_draws_total", Kind.COUNTER, "Draws of slices from the store of limits."
)
LIMITS_UNREACHABLE: Final = Metric(
    "inferworks_limits_store_unreachable",
    Kind.GAUGE,
    "1 while the store of limits cannot be reached: calls with limits are served out of slices in hand.",
)
WEBHOOKS: Final = Metric(
    "inferworks_webhook_attempts_total",
    Kind.COUNTER,
    "Attempts at sending warnings: delivered, failed; and warnings that were given_up.",
    ("outcome",),
)
BUILD: Final = Metric(
    "inferworks_build_info", Kind.GAUGE, "1, under the version that runs.", ("version",)
)
CPU: Final = Metric(
    "process_cpu_seconds_total",
    Kind.COUNTER,
    "CPU time of this process, user and system.",
    scale=NS_PER_SECOND,
)
MEMORY: Final = Metric(
    "process_resident_memory_bytes", Kind.GAUGE, "Memory of this process that is in RAM."
)
FILES: Final = Metric("process_open_fds", Kind.GAUGE, "Files and sockets that are open.")
MOST_FILES: Final = Metric("process_max_fds", Kind.GAUGE, "How many may be open.")
STARTED: Final = Metric(
    "process_start_time_seconds",
    Kind.GAUGE,
    "When this process began to measure, in seconds since 1970-01-01 UTC.",
    scale=NS_PER_SECOND,
)

METRICS: Final = (
    CALLS,
    REQUEST_DURATION,
    FIRST_TOKEN,
    PER_TOKEN,
    ATTEMPT_DURATION,
    TOKEN_USAGE,
    TOKEN_PARTS,
    RETRIES,
    CALLS_RUNNING,
    CALLS_QUEUED,
    QUEUE_WAIT,
    CONNECTIONS,
    DRAINS,
    ATTEMPTS_RUNNING,
    BREAKERS,
    REPLICAS,
    JOURNAL_QUEUE,
    JOURNAL_COMMIT,
    JOURNAL_RECORDS,
    JOURNAL_FAILED,
    TRANSCRIPTS_DROPPED,
    ACCESS_DROPPED,
    LOOP_STOOD,
    WORK_FAILURES,
    WORK_UNWELL,
    WORK_AGE,
    LIMIT_USED,
    LIMIT_REFUSALS,
    LIMIT_WARNINGS,
    LIMIT_DRAWS,
    LIMITS_UNREACHABLE,
    WEBHOOKS,
    BUILD,
    CPU,
    MEMORY,
    FILES,
    MOST_FILES,
    STARTED,
)
"""All of them, in the order in which they are shown."""
