"""What a user runs around training: the demo, a question about a picture, the report."""
