"""Measurements, as ratios side by side in one run; never asserted, since machines are noisy."""
