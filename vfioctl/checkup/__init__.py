"""Is this host ready: pure checks, from facts to findings with evidence."""
