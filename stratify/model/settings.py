"""Settings of the classifier: what each may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stratify.errors import ArgumentError

__all__ = ["check_settings"]

_WHOLE, _NUMBER = (int, np.integer), (int, float, np.integer, np.floating)
_TINY, _MOST = 1e-9, 1e9
# parameters, smallest, greatest, kind, and what is expected
_PARAMETERS: tuple[tuple[str, float, float, Any, str], ...] = (
    ("n_members num_leaves max_bin", 2, _MOST, _WHOLE, "a whole number of at least 2"),
    ("n_estimators min_child_samples", 1, _MOST, _WHOLE, "a whole number of at least 1"),
    ("calibration_folds random_state", 0, _MOST, _WHOLE, "a whole number of at least 0"),
    ("mask_value mask_panel", 0, 1 - _TINY, _NUMBER, "a share from 0 to below 1"),
    ("masked_weight", 0, 1, _NUMBER, "a weight from 0 to 1"),
    ("anchor_start", 0, 1, _NUMBER, "a share from 0 to 1"),
    ("interval_level", _TINY, 1 - _TINY, _NUMBER, "a level between 0 and 1"),
    ("learning_rate feature_fraction", _TINY, 1, _NUMBER, "a number above 0, at most 1"),
    ("reg_lambda", 0, _MOST, _NUMBER, "a number of at least 0"),
    ("anchor_variance", _TINY, _MOST, _NUMBER, "a number above 0"),
)


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse settings that mean nothing.

    Parameters
    ----------
    settings : mapping of str to value
        As ``ResistanceClassifier().get_params()``.

    Raises
    ------
    ArgumentError
        At the first one.
    """
    for names, least, most, kind, expected in _PARAMETERS:
        for name in names.split():
            value = settings[name]
            if not isinstance(value, kind) or not least <= value <= most:
                raise ArgumentError(f"{name} is {value!r}; {expected} is expected.")
    if settings["calibration_folds"] == 1:
        raise ArgumentError("calibration_folds is 1; 0 or at least 2 is expected.")
