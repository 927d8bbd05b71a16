"""Errors that a policy bears, and the thresholds found for them on patients not learned from."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stratify.tables.strict import Strict

__all__ = ["BorneErrors", "FoundThresholds"]

Share = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]


class BorneErrors(Strict):
    """Errors that are borne in either arm, each with the stated confidence.

    Attributes
    ----------
    monotherapy : float
        Share of resistant patients among those given monotherapy.
    combination : float
        Share of patients without resistance among those given the combination.
    confidence : float
        Over training cohorts like the one that gave the thresholds.
    """

    monotherapy: Share
    combination: Share
    confidence: Share = 0.9

    def __str__(self) -> str:
        """Words of both errors, for statements and messages."""
        return (
            f"at most {100 * self.monotherapy:g} % resistant under monotherapy and "
            f"{100 * self.combination:g} % not resistant under the combination, "
            f"confidence {100 * self.confidence:g} %"
        )


class FoundThresholds(Strict):
    """Thresholds of the risk that keep the errors of a policy; None where no threshold does.

    Written by a model from its out-of-fold risks, and found anew for every other model.
    """

    monotherapy_below: Probability | None
    combination_from: Probability | None
    n: Annotated[int, Field(ge=0)]
    monotherapy: str
    combination: str
