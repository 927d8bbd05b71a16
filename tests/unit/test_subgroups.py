"""Which subgroups are judged, and that no small count can be had from those that are shown."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stratify.cohort.subgroups import SMALLEST_COUNT, large_enough, subgroups


def cohort(sizes: dict[str | None, tuple[int, int]], column: str = "site") -> pd.DataFrame:
    """Level -> patients with label 0 and with label 1."""
    rows = [
        (level, label)
        for level, counts in sizes.items()
        for label, n in enumerate(counts)
        for _ in range(n)
    ]
    return pd.DataFrame(rows, columns=[column, "label"]).astype({column: object})


def shown(table: pd.DataFrame) -> list[str]:
    return [name for name, _ in subgroups(table, table["label"].to_numpy(float))]


CASES = [
    # what, patients by level (label 0, label 1), levels shown
    ("both large", {"a": (30, 30), "b": (10, 10)}, ["a", "b"]),
    ("19 patients", {"a": (30, 30), "b": (9, 10)}, ["a"]),
    ("4 of one label", {"a": (30, 30), "b": (4, 40), "c": (6, 6)}, ["a"]),
    # 4 of label 0 could be had by subtraction, so that the smaller of the others is hidden too
    ("a small rest", {"a": (30, 30), "b": (20, 20), "c": (4, 40)}, ["a"]),
    ("two missing", {"a": (30, 30), "b": (20, 20), None: (1, 1)}, ["a"]),
    ("a rest of one label", {"a": (30, 30), "b": (20, 20), "c": (0, 8)}, ["a", "b"]),
    ("one large and a small rest", {"a": (30, 30), "b": (1, 2)}, []),
    ("one level", {"a": (30, 30)}, []),
    ("one level and missing ones", {"a": (30, 30), None: (10, 10)}, ["a"]),
]


@pytest.mark.parametrize(("what", "sizes", "expected"), CASES, ids=[c[0] for c in CASES])
def test_cases(what, sizes, expected):
    assert shown(cohort(sizes)) == [f"site={level}" for level in expected]


def test_each_kind_of_subgroup_has_its_patients():
    n = 120
    rows = np.arange(n)
    table = pd.DataFrame(
        {
            "cancer_type": np.where(rows < 60, "nsclc", "renal"),
            "sex": np.where(rows % 2, "male", "female"),
            "race": np.where(rows % 3, "white", "asian"),
            "site": np.where(rows % 4 < 2, "North", "South"),
            "age": np.where(rows % 5 < 2, 64.9, 65.0),
            "prior_lines": (rows // 2 % 4).astype(float),
            "tmb": np.where(rows % 8 < 4, 5.0, np.nan),
            "label": (rows % 7 < 3).astype(float),
        }
    )
    found = dict(subgroups(table, table["label"].to_numpy()))
    assert {name: int(mask.sum()) for name, mask in found.items()} == {
        "cancer_type=nsclc": 60,
        "cancer_type=renal": 60,
        "sex=female": 60,
        "sex=male": 60,
        "race=asian": 40,
        "race=white": 80,
        "site=North": 60,
        "site=South": 60,
        "age=65_and_over": 72,
        "age=below_65": 48,
        "line=first": 30,
        "line=second": 30,
        "line=third_or_later": 60,
        "panels_missing=none": 60,
        "panels_missing=tmb": 60,
    }
    assert table["prior_lines"][found["line=third_or_later"]].min() == 2
    assert table["age"][found["age=65_and_over"]].min() == 65
    assert table["tmb"][found["panels_missing=tmb"]].isna().all()


def test_without_a_number_of_lines_prior_therapy_tells_the_first_from_later_ones():
    table = cohort({"x": (40, 40)}, "sex").assign(
        prior_lines=np.nan, prior_systemic_therapy=np.tile([0.0, 1.0], 40)
    )
    assert shown(table) == ["line=first", "line=later"]


def test_patients_of_unknown_age_are_in_no_group_of_age():
    table = cohort({"x": (40, 40)}, "sex").assign(age=np.repeat([50.0, 70.0, np.nan], [40, 30, 10]))
    label = np.tile([0.0, 1.0], 40)
    found = dict(subgroups(table, label))
    assert {name: int(mask.sum()) for name, mask in found.items()} == {
        "age=65_and_over": 30,
        "age=below_65": 40,
    }


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=6),
    st.tuples(st.integers(0, 6), st.integers(0, 6)),
)
def test_no_count_below_5_is_shown_or_had_by_subtraction(levels, missing):
    table = cohort({**{str(k): counts for k, counts in enumerate(levels)}, None: missing})
    label = table["label"].to_numpy(float)
    if not len(label):
        return
    found = subgroups(table, label)
    masks = [mask for _, mask in found]
    for mask in masks:
        assert large_enough(label[mask])
    left = ~np.any(masks, axis=0) if masks else np.zeros(len(label), dtype=bool)
    for count in (left.sum(), label[left].sum(), (1 - label[left]).sum()):
        assert count == 0 or count >= SMALLEST_COUNT
