"""Shards to batches, online. Start with `sample.py` (what is stored) and `batch.py` (what a model receives)."""
