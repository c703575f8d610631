"""Measurements in a guest: they print and bring back figures, and no time decides over pass or fail."""
