"""Scenarios that go wrong on purpose; not collected by any ordinary run."""
