"""Measured lesions and visits to best response and progression."""
