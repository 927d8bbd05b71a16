"""Planted overlaps are found and counted; cohorts of different patients are not accused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from stratify.cohort.overlap import check_shared, overlap, overlap_groups
from stratify.simulation import simulate
from stratify.tables.findings import Findings


def patients(n: int, seed: int) -> pd.DataFrame:
    """Simulated patients with clinical data, TMB, PD-L1 and survival as an export holds them."""
    panels = simulate(n, seed=seed).panels
    table = panels["clinical"].merge(panels["outcomes"], on="patient_id")
    for panel in ("tmb", "pdl1"):
        table = table.merge(panels[panel], on="patient_id", how="left")
    columns = ["age", "bmi", "albumin", "platelets", "hemoglobin", "pdl1_tps", "tmb", "pfs", "os"]
    return table[["patient_id", "sex", "cancer_type", *columns]].astype(
        dict.fromkeys(columns, float)
    )


@pytest.fixture(scope="module")
def two() -> tuple[pd.DataFrame, pd.DataFrame]:
    everyone = patients(900, seed=3)
    return everyone.iloc[:500], everyone.iloc[500:].reset_index(drop=True)


LABS = ["bmi", "albumin", "platelets", "hemoglobin"]
EXPORTS = {
    "as they were": lambda t: t,
    "whole years": lambda t: t.assign(age=np.floor(t["age"] + 0.7)),
    "TMB to one decimal": lambda t: t.assign(tmb=t["tmb"].round(1)),
    "months of 30 days": lambda t: t.assign(**{c: t[c] * 30.4375 / 30 for c in ("pfs", "os")}),
    "other blood samples": lambda t: t.assign(**{c: t[c].to_numpy()[::-1] for c in LABS}),
    "a later data cut": lambda t: t.assign(os=t["os"] + np.linspace(1, 9, len(t))),
    "without outcomes": lambda t: t.drop(columns=["pfs", "os"]),
    "without sex and tumour": lambda t: t.drop(columns=["sex", "cancer_type"]),
    "albumin filled in": lambda t: t.assign(albumin=3.8),
}


@pytest.mark.parametrize("export", EXPORTS)
@pytest.mark.parametrize("n", [12, 60])
def test_planted_patients_are_found(two, export, n):
    home, away = two
    away = EXPORTS[export](pd.concat([away, home.iloc[:n]], ignore_index=True))
    found = overlap(home, away)
    assert found is not None
    assert found.observed - found.expected == pytest.approx(n, abs=0.25 * n)
    assert found.expected < found.observed / 4


@pytest.mark.parametrize("seed", range(8))
def test_patients_of_one_population_are_not_accused(seed):
    everyone = patients(600, seed=seed)
    assert overlap(everyone.iloc[:300], everyone.iloc[300:]) is None


def test_coarse_and_lattice_values_are_not_taken_for_the_same_patients():
    """Ages in years and TMB in multiples of one mutation agree in many pairs by chance."""
    rng = np.random.default_rng(0)
    tables = [
        pd.DataFrame(
            {
                "age": rng.normal(64, 10, 800).round(),
                "tmb": (rng.poisson(6, 800) / 1.22).round(2),
                "os": rng.exponential(14, 800).round(),
            }
        )
        for _ in range(2)
    ]
    assert overlap(*tables) is None


def test_one_number_alone_or_two_patients_accuse_nobody(two):
    home, away = two
    assert overlap(home[["sex", "age"]], home[["sex", "age"]]) is None
    assert overlap(home, pd.concat([away, home.iloc[:2]])) is None


def test_both_directions_count_the_same_pairs(two):
    home, away = two
    away = EXPORTS["whole years"](pd.concat([away, home.iloc[:40]]))
    there, back = overlap(home, away), overlap(away, home)
    assert (there.columns, there.observed) == (back.columns, back.observed)
    assert there.expected == pytest.approx(back.expected)


def test_the_order_of_patients_does_not_matter(two):
    home, away = two
    away = pd.concat([away, home.iloc[:40]])
    shuffled = away.sample(frac=1, random_state=1)
    assert overlap(home, shuffled) == overlap(home, away)


def check(home: pd.DataFrame, away: pd.DataFrame) -> list[tuple[object, ...]]:
    table = pd.concat(
        [home.assign(cohort="home", split="train"), away.assign(cohort="away", split="external")]
    )
    findings = Findings()
    check_shared(table, findings)
    return [(r["code"], r["severity"], r["cohort"], r["n"], r["message"]) for r in findings.rows]


def test_shared_identifiers_make_it_an_error_and_no_value_is_told(two):
    home, away = two
    planted = EXPORTS["other blood samples"](home.iloc[:30].assign(pfs=lambda t: t["pfs"] + 0.01))
    away = away.assign(patient_id=[f"new{k}" for k in range(len(away))])
    ((code, severity, cohort, n, message),) = check(home, pd.concat([away, planted]))
    assert (code, severity, cohort) == ("patients_shared", "error", "away")
    assert message.startswith(f"{n} pairs of patients agree with training patients of home in sex")
    assert message.endswith(" of them have the same identifier.")
    renamed = planted.assign(patient_id=[f"other{k}" for k in range(30)])
    ((code, severity, *_),) = check(home, pd.concat([away, renamed]))
    assert (code, severity) == ("patients_may_be_shared", "warning")


def test_numbers_from_1_on_are_no_shared_identifiers(two):
    """Two hospitals that number their patients share names, not patients."""
    home, away = (t.assign(patient_id=[str(k) for k in range(len(t))]) for t in two)
    assert check(home, away) == []


def test_cohorts_that_share_patients_are_grouped_also_over_a_third():
    everyone = patients(700, seed=9)
    sets = {
        "a": everyone.iloc[:200],
        "b": everyone.iloc[150:350],
        "c": everyone.iloc[300:450],
        "d": everyone.iloc[450:],
    }
    table = pd.concat([rows.assign(cohort=name) for name, rows in sets.items()])
    assert overlap_groups(table) == {"a": "a", "b": "a", "c": "a", "d": "d"}


@pytest.mark.parametrize("columns", [4, 10, 20, 137])
def test_equal_rows_are_counted_for_any_number_of_columns(columns):
    rng = np.random.default_rng(0)
    names = [f"signature_x{j}" for j in range(columns)]
    home = pd.DataFrame(rng.normal(size=(100, columns)), columns=names)
    away = pd.concat([home[:7], home[50:] + 1], ignore_index=True)
    both = pd.concat(
        [home.assign(cohort="home", split="train"), away.assign(cohort="away", split="external")],
        ignore_index=True,
    )
    findings = Findings()
    check_shared(both, findings)
    [found] = findings.table().itertuples()
    assert (found.code, found.n) == ("patients_shared", 7)


@pytest.mark.parametrize(
    ("names", "code"),
    [(("a", "a"), "patients_repeated_often"), (("a", "b"), "patients_repeated")],
)
def test_patients_who_stand_twice_are_grave_within_a_cohort(names, code):
    """Another data cut changed the outcome, and a value is missing in one of five."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(100, 10)), columns=[f"signature_x{j}" for j in range(10)])
    table = table.mask(rng.random(table.shape) < 0.05).assign(pfs=rng.exponential(size=100))
    again = table[:9].assign(pfs=table["pfs"][:9] + 1)
    both = pd.concat(
        [table.assign(cohort=names[0]), again.assign(cohort=names[1])], ignore_index=True
    )
    findings = Findings()
    check_shared(both.assign(split="train"), findings)
    [found] = findings.table().itertuples()
    assert (found.code, found.n) == (code, 9)
