"""Whether a matrix of expression has the scale it is said to have.

The scale is checked, not believed. TPM and CPM add up to a million in each patient whatever the
tumour, so that another scale, a logarithm of a logarithm, or two scales in one matrix show in the
totals of patients (Wagner 2012, 10.1007/s12064-012-0162-3).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stratify.arrays import Flags, Floats
from stratify.tables.measurements import ExpressionMatrix
from stratify.tables.plausibility import SCALES

__all__ = ["WHOLE", "linear_values", "too_low", "unlike_scale", "unlike_stated"]


# So many genes are a whole transcriptome, whose totals show the scale.
WHOLE = 10_000
# Total of a patient by unit. Protein-coding genes alone may hold a fifth of all transcripts (one
# of 114 patients of Gide, Riaz and Hugo); ln(TPM + 1) undone as if to base 2 adds up to 1.4e5.
TOTALS = {"TPM": (2e5, 1.2e6), "CPM": (2e5, 1.2e6), "FPKM": (5e4, 5e6), "counts": (1e5, 1e10)}
# Expressions in a patient reach further than this in every unit, unless in logarithms.
HIGHEST_LOG = 30.0
FEW = 0.05  # up to this share, impossible values are faults of cells, not of the scale
NEVER_SILENT = 0.5
ROUNDING = 0.01  # of logarithms as printed
LOOKED_AT = 50  # patients by whom another scale is named
LOGARITHMS = {
    "log2(x + 1)": ("log2", 1.0),
    "log2(x + 0.001)": ("log2", 0.001),
    "ln(x + 1)": ("ln", 1.0),
    "log10(x + 1)": ("log10", 1.0),
}


def linear_values(values: Floats, scale: str, offset: float) -> Floats:
    """Undo a logarithm.

    Parameters
    ----------
    scale : {"linear", "ln", "log2", "log10"}

    Examples
    --------
    >>> linear_values(np.array([0.0, 3.0]), "log2", 1.0).tolist()
    [0.0, 7.0]
    """
    if scale == "linear":
        return values
    with np.errstate(over="ignore"):
        return np.asarray(SCALES[scale](values) - offset)


def too_low(linear: Floats, settings: ExpressionMatrix) -> Flags:
    """Values that no measurement can have: below 0, or below the logarithm of the offset."""
    return linear < (0 if settings.scale == "linear" else -ROUNDING * settings.offset)


def unlike_stated(linear: Floats, n_genes: int, n_known: int, unit: str) -> Flags:
    """Patients whose total or highest value is not of the unit.

    Parameters
    ----------
    linear : ndarray of shape (n_rows, n_patients)

    Returns
    -------
    ndarray of bool of shape (n_patients,)

    Examples
    --------
    >>> tpm = np.full((10_000, 2), 100.0)
    >>> tpm[:, 1] = np.log2(tpm[:, 1] + 1)
    >>> unlike_stated(tpm, 10_000, 20, "TPM").tolist()
    [False, True]
    """
    total, highest = np.nansum(linear, axis=0), np.nanmax(linear, axis=0, initial=0)
    low, high = TOTALS.get(unit, (0.0, np.inf))
    wrong = np.asarray(total > high)
    if n_genes >= WHOLE:
        wrong |= (total < low) | (highest <= HIGHEST_LOG)
    elif n_known >= 10 and highest.max(initial=0) <= HIGHEST_LOG:
        wrong[:] = True
    return wrong & np.isfinite(linear).any(axis=0)  # a patient without values is not measured


def unlike_scale(
    values: Floats, linear: Floats, wrong: Flags, n_genes: int, settings: ExpressionMatrix
) -> str:
    """Say what a matrix looks like that does not look as stated; empty where it does.

    Parameters
    ----------
    values, linear : ndarray of shape (n_rows, n_patients)
        As given, and with the stated logarithm undone.
    wrong : ndarray of bool of shape (n_patients,)
        From :func:`unlike_stated`.
    """
    whole = n_genes >= WHOLE
    total = np.nansum(linear, axis=0)
    if settings.unit == "counts" and whole and np.allclose(total, 1e6, rtol=1e-3):
        return "each patient adds up to a million, as TPM and CPM do"
    if wrong.mean() > 0.5 and whole:
        step = max(1, values.shape[1] // LOOKED_AT)
        some = _others(values[:, ::step], linear[:, ::step], settings)
        misses = [(_miss(other), text) for text, other in some]
        miss, text = min(misses, key=lambda each: each[0])
        if np.isfinite(miss):
            return f"looks like {text}"
    share = np.mean(too_low(linear, settings))
    if share > FEW:
        least = "0" if settings.scale == "linear" else f"{settings.scale}({settings.offset:g})"
        also = "logarithms" if settings.scale == "linear" else "another offset"
        return f"{100 * share:.0f} % of the values lie below {least}, as of {also} or z scores"
    if wrong.mean() > 0.5:
        high = TOTALS.get(settings.unit, (0.0, np.inf))[1]
        if np.median(total) > high:
            return f"patients add up to more than {high:.0f}"
        return "the values are as low as logarithms"
    # in every transcriptome some genes are silent
    if (
        settings.scale != "linear"
        and whole
        and np.nanmin(linear, axis=0, initial=np.inf).min() > NEVER_SILENT
    ):
        return f"no gene is silent, as where more than {settings.offset:g} was added"
    return ""


def _others(
    values: Floats, linear: Floats, settings: ExpressionMatrix
) -> Iterator[tuple[str, Floats]]:
    """Values undone as if their scale were another one."""
    stated = settings.scale != "linear"
    if stated:
        yield "linear values", values
    negative = bool(np.nanmin(values, initial=0) < 0)
    for text, (scale, offset) in LOGARITHMS.items():
        if stated:
            yield "a logarithm of a logarithm", linear_values(linear, scale, offset)
        if negative == (offset < 1) and (scale, offset) != (settings.scale, settings.offset):
            yield text, linear_values(values, scale, offset)


def _miss(linear: Floats) -> float:
    """By how many powers of ten patients miss a million; infinite where values are no TPM."""
    low, high = TOTALS["TPM"]
    total = float(np.median(np.nansum(linear, axis=0)))
    if not low <= total <= high or np.nanmin(linear, initial=0) < -ROUNDING:
        return np.inf
    return float(abs(np.log10(total / 1e6)))
