"""Composed scenes: the embedded default data, with exact boxes, tags and relations."""
