"""How responses are assessed: what a study states, and the limits of RECIST 1.1 and iRECIST."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field

from stratify.tables.documents import document
from stratify.tables.strict import Strict

__all__ = ["ResponseCriteria", "limits"]


@cache
def limits() -> dict[str, float]:
    """Limits of RECIST 1.1 and iRECIST by name, as in ``data_schemas/response_criteria.yaml``.

    Examples
    --------
    >>> limits()["growth"], limits()["growth_mm"]
    (0.2, 5.0)
    """
    stated = document("response_criteria")["limits"]
    return {name: float(limit["value"]) for name, limit in stated.items()}


def _days(name: str) -> Any:
    return Field(default_factory=lambda: limits()[name])


class ResponseCriteria(Strict):
    """How ``visits`` and ``lesions`` are assessed.

    Attributes
    ----------
    by : {"recist_1_1", "irecist"}
        RECIST 1.1, or iRECIST, where progression must be confirmed.
    confirm : bool
        Whether CR and PR must be seen again; asked where response is the endpoint and the trial
        is not randomised.
    min_sd_days, confirm_days, min_icpd_days : float
        Least days from day 0 to SD, from a response or a progression to its confirmation, and
        from iUPD to iCPD; 42, 28 and 28 by default.
    count_unconfirmed_last : bool
        Whether a last iUPD that was neither confirmed nor reset is a progression.
    death_confirms_days : float
        Death so soon after a progression, without a scan between that shows another response,
        confirms it: nobody can be scanned again, and iRECIST gives 4 to 8 weeks for the scan.

    Examples
    --------
    >>> criteria = ResponseCriteria()
    >>> criteria.min_sd_days, criteria.confirm_days, criteria.death_confirms_days
    (42.0, 28.0, 56.0)
    """

    by: Literal["recist_1_1", "irecist"] = "recist_1_1"
    confirm: bool = False
    min_sd_days: Annotated[float, Field(ge=0)] = _days("min_sd_days")
    confirm_days: Annotated[float, Field(ge=0)] = _days("confirm_days")
    min_icpd_days: Annotated[float, Field(ge=0)] = _days("min_icpd_days")
    count_unconfirmed_last: bool = True
    death_confirms_days: Annotated[float, Field(ge=0)] = _days("death_confirms_days")
