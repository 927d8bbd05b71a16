"""One error tree; each branch carries the exit code the command line ends with.

========  ==================================================  =====================
code      meaning                                             error
========  ==================================================  =====================
0         ok
2         wrong usage                                         :class:`ArgumentError`
10        the data or the study file have errors              :class:`DataError`
11        the cohort cannot be used for the task              :class:`CohortError`
12        bundle or schema mismatch, or an altered bundle     :class:`BundleError`
13        a file cannot be read or written                    :class:`FileError`
14        tracking unavailable; the results are on disk       :class:`TrackingError`
========  ==================================================  =====================

Anything else is a bug and keeps its traceback. No message may hold a patient's value or
identifier: say the file, the column, the row numbers and the count instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ArgumentError",
    "BundleError",
    "CohortError",
    "DataError",
    "FileError",
    "StratifyError",
    "TrackingError",
]


class StratifyError(Exception):
    """Root of all errors that a user can mend.

    Examples
    --------
    >>> FileError("cannot read panel.csv").exit_code
    13
    """

    exit_code = 1


class ArgumentError(StratifyError, ValueError):
    """An argument, option or setting has a value that cannot be used."""

    exit_code = 2


class DataError(StratifyError, ValueError):
    """The data or the study file have errors; every finding is attached.

    Parameters
    ----------
    message : str
        What is wrong and what to do.
    findings : pandas.DataFrame, optional
        The findings table (see ``data_schemas/results/findings.yaml``).
    """

    exit_code = 10

    def __init__(self, message: str, findings: pd.DataFrame | None = None) -> None:
        super().__init__(message)
        self.findings = findings


class CohortError(StratifyError, ValueError):
    """The cohort is readable but cannot serve the task (too few events, one class, ...)."""

    exit_code = 11


class BundleError(StratifyError, ValueError):
    """A model bundle is altered, foreign, or of another schema major version."""

    exit_code = 12


class FileError(StratifyError, OSError):
    """A file or folder is missing, unreadable or unwritable."""

    exit_code = 13


class TrackingError(StratifyError, RuntimeError):
    """The MLflow store cannot be reached; results stay on disk."""

    exit_code = 14
