"""Features of some patients as arrays by name: what every part of a score reads.

It stands where a matrix in a DataFrame is read (``columns[name]``, ``len(columns)``) and costs a
single patient microseconds where a DataFrame costs milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from stratify.arrays import Flags, Floats
from stratify.errors import ArgumentError

__all__ = ["FeatureColumns", "array_of", "array_of_one", "codes_of", "level_codes"]


_FEW = 16  # values looked up one by one


class FeatureColumns:
    """Features of some patients: values by name, what is missing, and the matrix of the model.

    Parameters
    ----------
    table : DataFrame of shape (n_patients, ...), or mapping of str to ndarray
        Canonical columns; absent features are missing.
    features : sequence of str
    levels : mapping of str to sequence of str
        Levels of each categorical feature; the code is the position.
    n : int, optional
        Number of patients, where `table` is a mapping.

    Raises
    ------
    ArgumentError
        If text or dates stand where numbers are expected.

    Examples
    --------
    >>> table = pd.DataFrame({"cancer_type": ["renal", None], "albumin": [3.9, None]})
    >>> columns = FeatureColumns(table, ["albumin", "cancer_type"], {"cancer_type": ["renal"]})
    >>> columns["albumin"], columns["cancer_type"]
    (array([3.9, nan]), array(['renal', nan], dtype=object))
    >>> columns.encoded
    array([[3.9, 0. ],
           [nan, nan]])
    """

    def __init__(
        self,
        table: pd.DataFrame | Mapping[str, npt.NDArray[Any]],
        features: Sequence[str],
        levels: Mapping[str, Sequence[str]],
        n: int | None = None,
    ) -> None:
        self.levels = levels
        self._n = len(table) if n is None else n
        self.columns = list(features)
        self._values: dict[str, npt.NDArray[Any]] = {}
        self._known: dict[str, Floats] = {}
        for name in features:
            if name not in table:
                kind = object if name in levels else np.float64
                self._values[name] = np.full(self._n, np.nan, dtype=kind)
            elif isinstance(table, pd.DataFrame):
                self._values[name], garbled = array_of(table[name], level=name in levels)
                if garbled is not None and garbled.any():
                    raise ArgumentError(
                        f"Column {name} was numeric at fit but holds text or dates now; numbers "
                        "are expected."
                    )
            else:
                self._values[name] = table[name]

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self._values[name]

    def numbers(self, names: Sequence[str]) -> Floats:
        """Columns of numbers as a matrix of shape (n_patients, n_names), to be modified freely."""
        places = _places(tuple(self.columns), tuple(names))
        return np.ascontiguousarray(self.encoded[:, places])

    def codes(self, name: str, known: tuple[str, ...]) -> Floats:
        """Position of each patient's level among the known ones; NaN where it is none of them."""
        if tuple(self.levels.get(name, ())) == known:
            return self.encoded[:, self.columns.index(name)]
        return level_codes(self[name], known)

    def once(self, key: str, compute: Callable[[], Floats]) -> Floats:
        """Give what was computed under a key, computed if it was not yet; not to be modified."""
        if key not in self._known:
            self._known[key] = compute()
        return self._known[key]

    @cached_property
    def missing(self) -> Flags:
        """Which values are missing, of shape (n_patients, n_features)."""
        missing = np.empty((self._n, len(self.columns)), dtype=bool)
        for j, name in enumerate(self.columns):
            values = self._values[name]
            numeric = values.dtype == np.float64
            missing[:, j] = np.isnan(values) if numeric else pd.isna(values)
        return missing

    @cached_property
    def encoded(self) -> Floats:
        """Matrix of shape (n_patients, n_features): numbers, levels as codes, missing as NaN."""
        matrix = np.empty((self._n, len(self.columns)))
        for j, name in enumerate(self.columns):
            values = self._values[name]
            known = self.levels.get(name)
            matrix[:, j] = values if known is None else level_codes(values, known)
        return self._finite(matrix)

    def _finite(self, matrix: Floats) -> Floats:
        infinite = np.flatnonzero(np.isinf(matrix).any(axis=0))
        if infinite.size:
            named = [self.columns[j] for j in infinite]
            raise ArgumentError(
                f"X holds infinite values in {', '.join(named)}; finite numbers or NaN are "
                "expected."
            )
        return matrix

    @property
    def unseen(self) -> Flags:
        """Patients with a level that training never saw."""
        return np.asarray((np.isnan(self.encoded) & ~self.missing).any(axis=1))


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or value != value  # NaN and NaT differ from all


@lru_cache(maxsize=256)
def _codes(known: tuple[str, ...]) -> dict[str, float]:
    return {level: float(code) for code, level in enumerate(known)}


@lru_cache(maxsize=64)
def _places(columns: tuple[str, ...], names: tuple[str, ...]) -> npt.NDArray[np.intp]:
    return np.array([columns.index(name) for name in names], dtype=np.intp)


def array_of(column: pd.Series, *, level: bool) -> tuple[npt.NDArray[Any], Flags | None]:
    """Column as an array, and which of its values are text where numbers are expected.

    Numbers and yes/no are float64, levels objects; text among numbers is NaN.

    Examples
    --------
    >>> array_of(pd.Series([1, "x", None], dtype=object), level=False)
    (array([ 1., nan, nan]), array([False,  True, False]))
    """
    if level:
        return column.to_numpy(dtype=object), None
    if column.dtype == np.float64:
        return column.to_numpy(), None
    if pd.api.types.is_datetime64_any_dtype(column):  # would turn into nanoseconds
        return np.full(len(column), np.nan), column.notna().to_numpy()
    try:
        return column.to_numpy(dtype=np.float64, na_value=np.nan), None
    except (ValueError, TypeError):
        numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        return numbers, np.isnan(numbers) & column.notna().to_numpy()


def array_of_one(value: Any, *, level: bool) -> tuple[npt.NDArray[Any], Flags | None]:
    """One patient's value as an array of length 1; as :func:`array_of`."""
    if level:
        return np.array([None if _is_missing(value) else value], dtype=object), None
    if _is_missing(value):
        return np.array([np.nan]), None
    if not isinstance(value, (int, float, np.number, np.bool_)):
        return np.array([np.nan]), np.array([True])
    return np.array([value], dtype=np.float64), None


def codes_of(table: pd.DataFrame | FeatureColumns, name: str, known: tuple[str, ...]) -> Floats:
    """Codes of a column's levels, see :func:`level_codes`."""
    if isinstance(table, FeatureColumns):
        return table.codes(name, known)
    return level_codes(table[name], known)


def level_codes(values: Any, known: Sequence[str]) -> Floats:
    """Position of each level among the known ones; NaN where missing or not known.

    Examples
    --------
    >>> level_codes(np.array(["renal", None, "nsclc"], dtype=object), ["nsclc", "renal"])
    array([ 1., nan,  0.])
    """
    codes = _codes(tuple(known))
    cells = np.asarray(values, dtype=object)
    if len(cells) <= _FEW:
        return np.array(
            [np.nan if _is_missing(cell) else codes.get(str(cell), np.nan) for cell in cells]
        )
    kinds, distinct = pd.factorize(cells)
    found = [codes.get(str(level), np.nan) for level in distinct]
    return np.array([*found, np.nan])[kinds]  # -1 for missing
