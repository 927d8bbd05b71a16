"""Laws of joining: whatever the order of rows, columns and tables, one row a patient."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from stratify.cohort.reading import Cohort, data_sha256, read_cohort
from stratify.study import Study

TABLES: dict[str, tuple[str, dict[str, Any]]] = {
    "base": ("clinical", {"regimen": {"value": "anti_pd1_pdl1"}, "bmi": "BMI", "ecog": "ECOG"}),
    "genes": ("tmb", {"tmb": {"column": "TMB", "unit": "mut/Mb", "assay": "x"}}),
    "cells": ("infiltration", {"til_score": "TIL", "immune_phenotype": "Type"}),
    "follow": (
        "outcomes",
        {
            "pfs": {"column": "PFS", "unit": "months"},
            "pfs_event": {"column": "Event", "coding": {0: False, 1: True}},
        },
    ),
}


def read(tables: dict[str, pd.DataFrame], order: list[str]) -> Cohort:
    with tempfile.TemporaryDirectory() as folder:
        for name, table in tables.items():
            table.to_csv(Path(folder) / f"{name}.csv", index=False)
        sources = [
            {"file": f"{name}.csv", "patient_id": "ID", "panels": dict([TABLES[name]])}
            for name in order
        ]
        study = Study.model_validate(
            {
                "stratify": 1,
                "name": "join",
                "data": folder,
                "cohorts": [{"name": "a", "tables": sources}],
            }
        )
        return read_cohort(study)


def _numbers(low: float, high: float) -> st.SearchStrategy[str]:
    return st.one_of(st.just(""), st.floats(low, high).map(lambda x: f"{x:.3f}"))


@st.composite
def hospitals(draw: st.DrawFn) -> dict[str, pd.DataFrame]:
    """Four tables of overlapping patients, with gaps, and strangers in the later ones."""
    ids = draw(
        st.lists(st.integers(0, 99).map("{:03d}".format), min_size=1, max_size=8, unique=True)
    )
    strangers = draw(st.lists(st.sampled_from(["X1", "X2"]), max_size=2, unique=True))

    def table(columns: dict[str, st.SearchStrategy[str]], patients: list[str]) -> pd.DataFrame:
        rows = [{"ID": i} | {name: draw(cell) for name, cell in columns.items()} for i in patients]
        return pd.DataFrame(rows, columns=["ID", *columns])

    def some() -> list[str]:
        kept = [i for i in ids if draw(st.booleans())] or ids[:1]
        return kept + strangers

    return {
        "base": table({"BMI": _numbers(18, 40), "ECOG": st.sampled_from(["0", "1", ""])}, ids),
        "genes": table({"TMB": _numbers(0, 80)}, some()),
        "cells": table(
            {"TIL": st.sampled_from(["0", "3"]), "Type": st.sampled_from(["desert", "NA"])}, some()
        ),
        "follow": table({"PFS": _numbers(0, 30), "Event": st.sampled_from(["0", "1", ""])}, some()),
    }


@settings(max_examples=10, deadline=None)
@given(tables=hospitals(), data=st.data())
def test_the_order_of_rows_columns_and_later_tables_is_irrelevant(tables, data):
    names = list(TABLES)
    first = read(tables, names)

    shuffled = {}
    for name, table in tables.items():
        rows = data.draw(st.permutations(range(len(table))))
        shuffled[name] = table.iloc[rows][data.draw(st.permutations(list(table.columns)))]
    later = data.draw(st.permutations(names[1:]))
    again = read(shuffled, [names[0], *later])

    assert data_sha256(again.table) == data_sha256(first.table)
    pd.testing.assert_frame_equal(again.table[first.table.columns], first.table)
    pd.testing.assert_frame_equal(again.attrition, first.attrition)


@settings(max_examples=10, deadline=None)
@given(tables=hospitals())
def test_each_patient_of_the_first_table_has_one_row_with_their_own_values(tables):
    cohort = read(tables, list(TABLES))

    assert cohort.table["patient_id"].tolist() == sorted(tables["base"]["ID"])
    by_patient = cohort.table.set_index("patient_id")
    for name, column, canonical in (("base", "BMI", "bmi"), ("genes", "TMB", "tmb")):
        cells = tables[name].set_index("ID")[column]
        for patient, value in by_patient[canonical].items():
            cell = cells.get(patient, "")
            assert (pd.isna(value) and cell == "") or value == float(cell)
    strangers = {i for t in tables.values() for i in t["ID"]} - set(tables["base"]["ID"])
    told = {"unmatched_patient", "no_patient_matched"} & set(cohort.findings.codes())
    assert bool(told) == bool(strangers)


@settings(max_examples=10, deadline=None)
@given(tables=hospitals(), data=st.data())
def test_the_row_of_a_patient_does_not_depend_on_the_others(tables, data):
    whole = read(tables, list(TABLES)).table.set_index("patient_id")
    kept = data.draw(st.sets(st.sampled_from(list(tables["base"]["ID"])), min_size=1))
    part = {name: t[t["ID"].isin(kept)] for name, t in tables.items()}
    part = {name: t if len(t) else tables[name] for name, t in part.items()}
    alone = read(part, list(TABLES)).table.set_index("patient_id")
    pd.testing.assert_frame_equal(alone, whole.loc[sorted(kept)])
