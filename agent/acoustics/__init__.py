"""The acoustic model: bundle, streaming window and inference engines."""
