"""Public data to shards, offline: `python -m data_pipelines --help`."""
