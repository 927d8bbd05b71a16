"""The resistance model and the models it is compared with."""
