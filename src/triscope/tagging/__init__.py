"""Taggers: names of what a picture shows, each with its confidence.

They serve shards offline (`python -m data_pipelines tag`) and new pictures online (`triscope predict --picture`); so they
stand beside the data pipelines and the model, and know neither.
"""
