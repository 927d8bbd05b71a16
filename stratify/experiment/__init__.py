"""The order of a training and an evaluation, and what is written where."""
