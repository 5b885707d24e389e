"""Conformance: the official test suites, run on our engines (`python -m spec`)."""
