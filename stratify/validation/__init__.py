"""Judging a model on patients it never saw."""
