"""The uncertainty of a model's risks."""
