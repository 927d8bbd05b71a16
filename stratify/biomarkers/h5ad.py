"""A matrix of bulk expression in an h5ad file, as AnnData writes them.

Only ``X`` and the names of ``obs`` (patients) and ``var`` (genes) are read, so that h5py, which
needs numpy alone, is enough. The package anndata brings a dozen others and, up to 0.12, pandas
below 3.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stratify.errors import FileError
from stratify.tables.findings import lines_text

__all__ = ["read_h5ad"]

MOST_PATIENTS = 20_000  # more observations are cells
_SPARSE = ("csr_matrix", "csc_matrix")


def read_h5ad(path: Path, *, labels: str | None = None) -> pd.DataFrame:
    """Read the matrix ``X`` of an h5ad file.

    Parameters
    ----------
    labels : str, optional
        Column of ``var`` with the names of the genes; its index by default.

    Returns
    -------
    DataFrame of shape (n_var, 1 + n_obs)
        A column with the names of ``var`` and one for each of ``obs``. The index counts ``var``
        from 1.

    References
    ----------
    Virshup 2024, 10.21105/joss.04371; format: anndata.readthedocs.io, "On-disk format".
    """
    try:
        import h5py
    except ImportError:
        raise FileError(
            f"{path} is an HDF5 file, which h5py reads and which is not installed. Install it with "
            "`pip install 'stratify-immuno[h5ad]'`, or export the matrix as text or Parquet."
        ) from None
    try:
        with h5py.File(path, "r") as file:
            absent = [part for part in ("X", "obs", "var") if part not in file]
            if absent:
                raise FileError(
                    f"{path} has no {' and no '.join(absent)}; an h5ad file with a matrix X, as "
                    "AnnData writes it, is expected."
                )
            patients = _names(path, file["obs"], "obs", None)
            genes = _names(path, file["var"], "var", labels)
            if len(patients) > MOST_PATIENTS:
                raise FileError(
                    f"{path} has {len(patients)} observations, as of single cells; one a patient "
                    "is expected. Add the counts of cells up by patient first."
                )
            values = _values(path, file["X"])
    except FileError:
        raise
    except Exception:  # the library raises many kinds, and some of them quote a value
        raise FileError(
            f"{path} cannot be read as h5ad: a whole file with numbers in X is expected. Write it "
            "again with AnnData."
        ) from None
    if values.shape != (len(patients), len(genes)):
        raise FileError(
            f"{path}: X is {values.shape[0]} x {values.shape[1]}, but there are {len(patients)} "
            f"obs and {len(genes)} var. Write the file again."
        )
    twice = pd.Index(patients).duplicated()
    if twice.any():
        where = lines_text(np.flatnonzero(twice) + 1, "observation")
        raise FileError(f"{path}, {where}: names that stand before. Rename or remove them.")
    label = "gene" if labels is None else labels
    table = pd.DataFrame(
        values.T,
        index=pd.RangeIndex(1, len(genes) + 1, name="variable"),
        columns=pd.Index(patients, dtype=object),
    )
    while label in table:
        label += "_"
    table.insert(0, label, pd.Series(genes, index=table.index, dtype=object))
    return table.rename_axis(columns="observation")


def _values(path: Path, matrix: Any) -> NDArray[np.float64]:
    """Dense values of a dataset, or of a group that holds a sparse matrix."""
    if not hasattr(matrix, "keys"):
        return np.asarray(matrix[...], dtype=float)
    from scipy import sparse

    kind = str(matrix.attrs.get("encoding-type", ""))
    if kind not in _SPARSE:
        found = f"is a {kind}" if kind else "has no encoding-type"
        raise FileError(
            f"{path}: X {found}; a dense array, {' or '.join(_SPARSE)} is expected. Write the file "
            "again with AnnData 0.7 or later."
        )
    build = sparse.csr_matrix if kind == "csr_matrix" else sparse.csc_matrix
    arrays = (matrix["data"][...], matrix["indices"][...], matrix["indptr"][...])
    dense = build(arrays, shape=tuple(matrix.attrs["shape"])).toarray()
    return np.asarray(dense, dtype=float)


def _names(path: Path, frame: Any, side: str, column: str | None) -> list[str]:
    """Names of one side: its index, or one of its columns."""
    if not hasattr(frame, "keys") or "_index" not in frame.attrs:
        raise FileError(
            f"{path}: {side} is not written as by AnnData 0.7 or later. Write the file again with "
            "a later version."
        )
    index = str(frame.attrs["_index"])
    if column is not None and column not in frame:
        others = sorted(name for name in frame if name != index)
        raise FileError(
            f"{path}: {side} has no column {column!r}, which `labels` names; it has "
            f"{', '.join(others) or 'its index alone'}."
        )
    return _texts(frame[index if column is None else column])


def _texts(column: Any) -> list[str]:
    """Column of texts, as an array, with a mask, or as levels."""
    if not hasattr(column, "keys"):
        values = column[...]
        return [v.decode() if isinstance(v, bytes) else str(v) for v in values.tolist()]
    if "categories" in column:
        levels, codes = _texts(column["categories"]), column["codes"][...]
        return ["" if code < 0 else levels[code] for code in codes.tolist()]
    values, mask = _texts(column["values"]), column["mask"][...]
    return ["" if gone else value for value, gone in zip(values, mask.tolist(), strict=True)]
