"""Metrics, traces, logs and transcripts of calls for an operator; none of it delays a call."""
