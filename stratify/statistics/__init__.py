"""Figures of performance, each with its interval."""
