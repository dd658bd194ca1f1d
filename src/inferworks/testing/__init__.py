"""Fakes, builders and conformance suites, for this project's tests and for drivers of third parties."""
