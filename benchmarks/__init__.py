"""Commands that measure, each with a table as its result."""
