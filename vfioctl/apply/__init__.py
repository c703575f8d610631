"""Doing it: a closed list of steps, carried out on the running kernel."""
