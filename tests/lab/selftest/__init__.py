"""Scenarios that go wrong on purpose, and what the lab must make of each. Not collected by any ordinary run."""
