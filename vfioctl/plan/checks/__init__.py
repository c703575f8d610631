"""The safety checks, by what they look at: each a generator of findings."""
