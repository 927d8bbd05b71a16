"""Expression in h5ad files: the same matrix as from text, and what is said of other HDF5 files."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from stratify.biomarkers.expression import read_expression, read_matrix
from stratify.errors import FileError
from stratify.tables.measurements import ExpressionMatrix

TEXT = h5py.string_dtype()


def write_h5ad(
    path: Path,
    values: np.ndarray,
    patients: list[str],
    genes: list[str],
    *,
    form: str = "dense",
    names: str = "array",
    var: dict[str, list[str]] | None = None,
    change: Callable[[Any], None] = lambda file: None,
) -> Path:
    """Write a file by the format's description (anndata.readthedocs.io, "On-disk format")."""
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        if form == "dense":
            file["X"] = values
        else:
            matrix = (
                sparse.csr_matrix(values) if form == "csr_matrix" else sparse.csc_matrix(values)
            )
            group = file.create_group("X")
            group.attrs.update({"encoding-type": form, "shape": np.array(values.shape)})
            for part in ("data", "indices", "indptr"):
                group[part] = getattr(matrix, part)
        for side, index, columns in (("obs", patients, {}), ("var", genes, var or {})):
            frame = file.create_group(side)
            frame.attrs.update({"encoding-type": "dataframe", "_index": "_index"})
            for name, texts in {"_index": index, **columns}.items():
                if names == "array":
                    frame.create_dataset(name, data=np.array(texts, dtype=object), dtype=TEXT)
                    continue
                part = frame.create_group(name)
                levels = sorted(set(texts))
                if names == "categorical":
                    part.create_dataset("categories", data=np.array(levels, object), dtype=TEXT)
                    part["codes"] = np.array([levels.index(text) for text in texts], dtype=np.int8)
                else:
                    part.create_dataset("values", data=np.array(texts, object), dtype=TEXT)
                    part["mask"] = np.zeros(len(texts), dtype=bool)
        change(file)
    return path


GENES = ["GZMA", "PRF1", "ENSG00000153563.15", "CD8B"]
PATIENTS = ["007", "b", "c"]
VALUES = np.array([[0.0, 31.5, 40.0, 1.0], [8.0, 0.0, 2.5, 0.0], [3.0, 33.0, 0.0, 0.0]])


@pytest.mark.parametrize("form", ["dense", "csr_matrix", "csc_matrix"])
@pytest.mark.parametrize("names", ["array", "categorical", "nullable"])
def test_every_form_gives_the_matrix_of_a_text_file(tmp_path, form, names):
    text = pd.DataFrame(VALUES.T, columns=PATIENTS)
    text.insert(0, "gene", GENES)
    text.to_csv(tmp_path / "matrix.csv", index=False)
    path = write_h5ad(tmp_path / "matrix", VALUES, PATIENTS, GENES, form=form, names=names)
    settings = ExpressionMatrix(unit="TPM")

    expression, found = read_expression(read_matrix(path), settings)

    expected, _ = read_expression(read_matrix(tmp_path / "matrix.csv"), settings)
    assert found.rows == []
    pd.testing.assert_frame_equal(expression, expected, check_names=False)
    assert expression.loc["007", "CD8A"] == pytest.approx(np.log2(41))


def test_names_of_genes_may_stand_in_a_column_of_var(tmp_path):
    var = {"feature_name": GENES}
    ids = ["g1", "g2", "g3", "g4"]
    path = write_h5ad(tmp_path / "matrix.h5ad", VALUES, PATIENTS, ids, var=var)
    settings = ExpressionMatrix(unit="TPM", labels="feature_name")

    expression, _ = read_expression(read_matrix(path, labels="feature_name"), settings)

    assert list(expression) == ["GZMA", "PRF1", "CD8A", "CD8B"]


@pytest.mark.parametrize(
    ("plant", "message"),
    [
        (
            {"genes": ["GZMA", "2-Sep", "CD8A", "1-Mar"]},
            "m.h5ad, variables 2 and 4: names that a spreadsheet turned into dates or numbers; "
            "these genes are left out.",
        ),
        (
            {"values": np.where(VALUES == 8, -8, VALUES)},
            "m.h5ad, observation 2: values below 0.",
        ),
        (
            {"patients": GENES[:3], "genes": ["007", "b", "c", "d"]},
            "m.h5ad: genes are stated in rows, where 0 genes of signatures stand, but 3 stand in "
            "columns.",
        ),
    ],
)
def test_findings_name_observations_and_variables(tmp_path, plant, message):
    content = {"values": VALUES, "patients": PATIENTS, "genes": GENES, **plant}
    table = read_matrix(write_h5ad(tmp_path / "m.h5ad", **content))

    settings = ExpressionMatrix(unit="TPM", scale_confirmed=True)
    _, found = read_expression(table, settings, name="m.h5ad")

    assert found.messages() == [message]


def _many(file: Any) -> None:
    del file["obs"]["_index"]
    names = np.array([f"cell {i}" for i in range(20_001)], dtype=object)
    file["obs"].create_dataset("_index", data=names, dtype=TEXT)


def _old(file: Any) -> None:
    del file["obs"]
    file["obs"] = np.array([(b"a",), (b"b",), (b"c",)], dtype=[("index", "S1")])


def _of_texts(file: Any) -> None:
    del file["X"]
    file.create_dataset("X", data=np.full((3, 4), "secret", dtype=object), dtype=TEXT)


def _cut_off(file: Any) -> None:
    del file["X"]
    file["X"] = VALUES[:2]


def _layers_only(file: Any) -> None:
    file.move("X", "layers/counts")


def _unknown_form(file: Any) -> None:
    file["X"].attrs["encoding-type"] = "awkward-array"


FAULTS = {
    "no X": (_layers_only, {}, r"has no X; an h5ad file with a matrix X, as AnnData writes it"),
    "cells": (_many, {}, r"has 20001 observations, as of single cells; one a patient is expected"),
    "old": (_old, {}, r": obs is not written as by AnnData 0\.7 or later\. Write the file again"),
    "texts": (_of_texts, {}, r"cannot be read as h5ad: a whole file with numbers in X is expected"),
    "shape": (_cut_off, {}, r": X is 2 x 4, but there are 3 obs and 4 var\. Write the file again"),
    "form": (_unknown_form, {"form": "csr_matrix"}, r": X is a awkward-array; a dense array, csr_"),
    "patient twice": (
        lambda file: None,
        {"patients": ["007", "b", "007"]},
        r", observation 3: names that stand before\. Rename or remove them\.",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_another_file_is_refused_without_its_content(tmp_path, fault):
    change, content, message = FAULTS[fault]
    stated = {"values": VALUES, "patients": PATIENTS, "genes": GENES} | content
    path = write_h5ad(tmp_path / "m.h5ad", **stated, change=change)

    with pytest.raises(FileError, match=message) as error:
        read_matrix(path)

    assert "secret" not in str(error.value)


def test_a_column_that_var_does_not_have_is_told(tmp_path):
    var = {"symbol": GENES}
    path = write_h5ad(tmp_path / "m.h5ad", VALUES, PATIENTS, GENES, var=var)

    with pytest.raises(
        FileError, match=r"var has no column 'name', which `labels` .* has symbol\."
    ):
        read_matrix(path, labels="name")


def test_a_truncated_file_is_refused(tmp_path):
    path = write_h5ad(tmp_path / "m.h5ad", VALUES, PATIENTS, GENES)
    path.write_bytes(path.read_bytes()[:3000])

    with pytest.raises(FileError, match="cannot be read as h5ad"):
        read_matrix(path)


def test_without_h5py_the_extra_is_named(tmp_path, monkeypatch):
    path = write_h5ad(tmp_path / "m.h5ad", VALUES, PATIENTS, GENES)
    monkeypatch.setitem(sys.modules, "h5py", None)

    with pytest.raises(FileError) as error:
        read_matrix(path)

    assert str(error.value) == (
        f"{path} is an HDF5 file, which h5py reads and which is not installed. Install it with "
        "`pip install 'stratify-immuno[h5ad]'`, or export the matrix as text or Parquet."
    )


def test_a_study_file_reads_it_as_any_other_matrix(hospital):
    hospital.leave_out("pdl1", "tmb", "infiltration", "ctdna")
    hospital.add_measurements("expression")
    expected = hospital.read().table
    matrix = hospital.tables.pop("expression")
    patients = [name for name in matrix if name != "gene"]
    values = matrix[patients].to_numpy(dtype=float).T
    written = [f"{name}-T1" for name in patients]
    write_h5ad(
        hospital.folder / "m.h5ad", values, written, matrix["gene"].tolist(), form="csr_matrix"
    )
    entry = hospital.source("expression")
    entry |= {"file": "m.h5ad", "identifier": {"pattern": r"(\d-\d+)-T1"}}

    found = hospital.read()

    assert not found.findings.has_errors
    pd.testing.assert_frame_equal(found.table, expected)
