"""Further outcomes than the label: progression at shorter and longer horizons, response.

One horizon throws away how early a patient progressed. Patients who progress in the third week and
in the fifth month have the same label at six months; outcomes at other horizons tell them apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from stratify.endpoint import label_outcomes
from stratify.errors import ArgumentError

__all__ = ["horizon_outcomes"]


def horizon_outcomes(table: pd.DataFrame, months: Sequence[float] = (3.0, 12.0)) -> pd.DataFrame:
    """Progression or death before each horizon, and no response.

    Parameters
    ----------
    table : DataFrame of shape (n_patients, ...)
        ``pfs`` (months), ``pfs_event``, ``best_response``, ``objective_response``; absent ones are
        missing.
    months : sequence of float
        Horizons, in months from the first dose.

    Returns
    -------
    DataFrame of shape (n_patients, n_horizons + 1)
        1 where it happened, 0 where it did not, NaN where it is not known: censored before the
        horizon, no PFS, response not evaluable.

    Examples
    --------
    >>> table = pd.DataFrame({"pfs": [2.0, 8.0, 2.0], "pfs_event": [1, 1, 0],
    ...                       "best_response": ["PD", "PR", None]})
    >>> horizon_outcomes(table)
       event_before_3_months  event_before_12_months  no_response
    0                    1.0                     1.0          1.0
    1                    0.0                     1.0          0.0
    2                    NaN                     NaN          NaN
    """
    if not all(horizon > 0 for horizon in months):
        raise ArgumentError(f"months is {list(months)}; horizons above 0 are expected.")
    missing = pd.Series(np.nan, index=table.index)
    pfs = table.get("pfs", missing).astype(float)
    event = table.get("pfs_event", missing).astype(float)
    found = {
        f"event_before_{horizon:g}_months": np.select(
            [pfs >= horizon, (pfs < horizon) & (event == 1)], [0.0, 1.0], np.nan
        )
        for horizon in months
    }
    found["no_response"] = label_outcomes(table, "objective_response")["label"].to_numpy()
    return pd.DataFrame(found, index=table.index)
