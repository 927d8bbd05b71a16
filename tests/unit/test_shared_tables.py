"""What several cohorts share, a table or a coding, is read once and reported once."""

import copy

import pandas as pd
import pytest

from stratify.errors import FileError

EXTRA = {"f": "female", "w": "female"}


@pytest.fixture
def two(hospital):
    hospital.add_cohort("away", "external", seed=8)
    tables = hospital.tables
    tables["away_clinical"]["Patient"] = [f"a{i}" for i in range(len(tables["away_clinical"]))]
    for file in ("markers", "outcomes"):
        tables[f"away_{file}"]["Patient"] = tables["away_clinical"]["Patient"]
    return hospital


def sex_of(hospital, cohort):
    (table,) = (
        t for t in hospital.document["cohorts"][cohort]["tables"] if "clinical" in t["file"]
    )
    return table["panels"]["clinical"]["sex"]["coding"]


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ((), "sex holds no 'f' and no 'w' in any of 2 cohorts, which its coding names."),
        (("f",), "sex holds no 'w' in any of 2 cohorts, which its coding names."),
        (("f", "w"), None),
    ],
)
def test_a_level_that_any_cohort_holds_is_used(two, held, message):
    for cohort in (0, 1):
        sex_of(two, cohort).update(EXTRA)
    for line, text in enumerate(held, start=4):
        two.plant("away_clinical", "Sex", {line: text})

    found = [row for row in two.findings() if row["code"] == "coding_unused"]

    assert [(row["cohort"], row["message"]) for row in found] == (
        [("", message)] if message else []
    )


def test_a_table_that_two_cohorts_map_alike_is_read_once(two):
    apart = two.read()
    markers = pd.concat([two.tables.pop("markers"), two.tables.pop("away_markers")])
    two.tables["markers"] = markers.assign(Note="x")
    for table in two.document["cohorts"][1]["tables"]:
        if table["file"] == "away_markers.csv":
            table["file"] = "markers.csv"

    together = two.read()

    pd.testing.assert_frame_equal(together.table, apart.table)
    assert apart.findings.codes() == []
    assert together.findings.codes() == ["unknown_column"]


@pytest.mark.parametrize("difference", ["missing", "unit"])
def test_a_table_that_two_cohorts_map_differently_is_read_for_each(two, difference):
    markers = pd.concat([two.tables.pop("markers"), two.tables.pop("away_markers")])
    two.tables["markers"] = markers
    entry = two.source("away_markers")
    entry["file"] = "markers.csv"
    alike = two.read().table
    if difference == "missing":
        entry["missing"] = [str(markers["TPS"].dropna().iloc[-1])]
    else:
        entry["panels"] = copy.deepcopy(entry["panels"])
        entry["panels"]["pdl1"]["pdl1_tps"] = {"column": "TPS", "unit": "fraction"}

    cohort = two.read(labels=False).table

    home, away = cohort["cohort"] == "home", cohort["cohort"] == "away"
    pd.testing.assert_series_equal(cohort["pdl1_tps"][home], alike["pdl1_tps"][home])
    assert not cohort["pdl1_tps"][away].equals(alike["pdl1_tps"][away])


def test_a_file_that_several_cohorts_need_is_missed_once(two):
    for name in ("markers", "outcomes"):
        two.source(f"away_{name}")["file"] = f"{name}.csv"
    for name in ("markers", "away_markers", "outcomes", "away_outcomes"):
        del two.tables[name]

    with pytest.raises(FileError) as raised:
        two.read()

    places = [line.split(";")[0] for line in str(raised.value).split("\n")]
    assert places == [
        f"There is no file {two.folder / name}" for name in ("markers.csv", "outcomes.csv")
    ]
