"""Weights in and out: slices of trained parts, warm start, export."""
