"""Benchmarks: figures, as JSON, never asserted upon, since machines are noisy. Compare ratios of one run."""
