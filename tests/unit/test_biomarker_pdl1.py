"""PD-L1: what reports say, which clones agree, which cut-offs are reached."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stratify.biomarkers.derivation import DerivationRules, with_derivations
from stratify.biomarkers.derivations import derivations
from stratify.biomarkers.pdl1 import (
    METHODS,
    Tier,
    clone_in,
    concordance,
    read_pdl1_reports,
)
from stratify.tables.findings import Findings
from stratify.tables.measurements import Pdl1Rule
from stratify.tables.schema import field_named, load_schema, pdl1_cutoffs

nan = np.nan

# report: clone, and (method, lower, upper) of what is read
REPORTS: list[tuple[str, str | None, dict[str, tuple[float, float]]]] = [
    ("TPS <1 % (22C3)", "22C3", {"tps": (0, 1)}),
    ("TPS: 60%", None, {"tps": (60, 60)}),
    ("PD-L1 IHC 22C3 pharmDx: Tumor Proportion Score of 1-49 %", "22C3", {"tps": (1, 49)}),
    ("TPS >= 50% (SP263)", "SP263", {"tps": (50, 100)}),
    ("Combined positive score (CPS): 10", None, {"cps": (10, 10)}),
    ("CPS 12, TPS 5 %, clone 28-8", "28-8", {"cps": (12, 12), "tps": (5, 5)}),
    ("SP142: IC2/3, TC0", "SP142", {"ic": (5, 100), "tc": (0, 1)}),
    ("SP142, IC 10 %, TC 2%", "SP142", {"ic": (10, 10), "tc": (2, 2)}),
    ("IC2+ by SP142", "SP142", {"ic": (5, 100)}),
    ("PD-L1 (73-10) TPS at least 80 %", "73-10", {"tps": (80, 100)}),
    ("TPS 2,5 %", None, {"tps": (2.5, 2.5)}),
    ("TPS 5 %. Previous biopsy: TPS 5 %.", None, {"tps": (5, 5)}),
]
UNREAD = ["positive", "22C3 60 %", "PD-L1 60 %", "not evaluable", "TPS not evaluable"]
AMBIGUOUS = ["TPS 5 % and TPS 10 %", "TPS 5 % (22C3, SP263)", "IC1, later IC2"]
IMPOSSIBLE = ["TPS 150 %", "CPS 40-20"]


DOCUMENT = Path(__file__).parents[2] / "docs" / "pdl1_reports.md"
ROWS = [
    [cell.strip() for cell in line.strip("|\n").split(" | ")]
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines()
    if line.startswith("| `")
]
TOLD = {
    "nothing read": "report_not_read",
    "not understood": "report_ambiguous",
    "outside 0 to 100": "outside_limits",
}


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_the_document_says_what_is_read(row):
    report, *bounds, clone, either, told = row
    values, found = read_pdl1_reports(pd.Series([report.strip("`")]))
    read = values.iloc[0]
    for method, stated in zip(METHODS, bounds, strict=True):
        low, _, high = stated.partition(" to ")
        expected = (nan, nan) if stated == "." else (float(low), float(high or low))
        got = (read[f"{method}_low"], read[f"{method}_high"])
        assert got == pytest.approx(expected, nan_ok=True)
    assert (read["pdl1_clone"] if isinstance(read["pdl1_clone"], str) else ".") == clone
    holds = [name for name in ("tc1_ic1", "tc3_ic3") if read[f"pdl1_{name}"] == 1]
    assert (", ".join(holds) or ".") == either
    assert [each["code"] for each in found.rows] == ([] if told == "." else [TOLD[told]])


def test_the_document_has_many_rows_of_every_kind():
    assert len(ROWS) >= 80
    assert {row[-1] for row in ROWS} == {".", *TOLD}


def derived(patients: pd.DataFrame, rule: Pdl1Rule, findings: Findings) -> pd.DataFrame:
    return with_derivations(patients, derivations(), DerivationRules(rule), "home", findings)


def tiers_of(patients: pd.DataFrame, method: str, rule: Pdl1Rule, clone: str) -> np.ndarray:
    columns = {str(name): values.to_numpy() for name, values in patients.items()}
    rules = DerivationRules(rule, {method: clone})
    return Tier(method).derive(columns, rules)[f"{method}_tier"]


@pytest.mark.parametrize(("text", "clone", "expected"), REPORTS, ids=[r[0] for r in REPORTS])
def test_reports_are_read(text, clone, expected):
    values, found = read_pdl1_reports(pd.Series([text]))
    row = values.iloc[0]
    read = {
        method.removeprefix("pdl1_"): (row[f"{method}_low"], row[f"{method}_high"])
        for method in METHODS
        if pd.notna(row[method])
    }
    assert read == expected
    assert row["pdl1_clone"] == clone or (clone is None and pd.isna(row["pdl1_clone"]))
    assert found.rows == []


@pytest.mark.parametrize(
    ("texts", "code"),
    [(UNREAD, "report_not_read"), (AMBIGUOUS, "report_ambiguous"), (IMPOSSIBLE, "outside_limits")],
)
def test_reports_that_cannot_be_read_are_missing_and_told(texts, code):
    values, found = read_pdl1_reports(pd.Series([*texts, None]))
    assert values.isna().all(axis=None)
    assert [(each["code"], each["n"]) for each in found.rows] == [(code, len(texts))]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.sampled_from(
        [("TPS", "pdl1_tps"), ("CPS", "pdl1_cps"), ("TC", "pdl1_tc"), ("IC", "pdl1_ic")]
    ),
    st.sampled_from(["{} {} %", "{}: {}%", "PD-L1 {} = {}", "22C3, {} {}"]),
    st.integers(0, 100),
    st.integers(0, 100),
    st.sampled_from(["exact", "below", "above", "range"]),
)
def test_what_is_written_is_read(method, form, one, other, kind):
    """A law: whatever way a value is written, it comes back with its bounds."""
    low, high = sorted((one, other))
    if method[0] in ("TC", "IC") and "%" not in form and kind == "exact":
        one = max(one, 4)  # a bare number up to 3 may be a level
    texts = {"exact": f"{one}", "below": f"<{one}", "above": f"≥{one}", "range": f"{low}-{high}"}
    bounds = {"exact": (one, one), "below": (0, one), "above": (one, 100), "range": (low, high)}
    values, found = read_pdl1_reports(pd.Series([form.format(method[0], texts[kind])]))
    row = values.iloc[0]
    assert (row[f"{method[1]}_low"], row[f"{method[1]}_high"]) == bounds[kind]
    assert row[method[1]] == sum(bounds[kind]) / 2
    assert found.rows == []


def test_a_reported_value_stays_and_a_report_that_differs_is_told():
    patients = pd.DataFrame(
        {"patient_id": ["a", "b"], "pdl1_tps": [60.0, nan], "pdl1_report": ["TPS 5 %", "TPS 9 %"]}
    )
    told = Findings()
    together = derived(patients, Pdl1Rule(), told)
    assert together["pdl1_tps"].tolist()[0] == 60.0
    assert [row["message"] for row in told.rows] == [
        "pdl1_report: pdl1_tps as derived differs from what is reported in 1 of 1 patients; the "
        "reported one is used.",
        "pdl1_report: pdl1_tps of 1 patients, for whom it is not reported.",
    ]
    assert together["pdl1_tps"].tolist()[1] == 9.0
    assert together["pdl1_tps_low"].isna().tolist() == [True, False]  # of the report that counts


def test_values_of_other_clones_are_left_out_with_their_bounds():
    patients = pd.DataFrame(
        {
            "patient_id": ["a", "b"],
            "pdl1_tps": [0.5, 70.0],
            "pdl1_tps_low": [0.0, 70.0],
            "pdl1_tps_high": [1.0, 70.0],
            "pdl1_clone": ["SP142", "22C3"],
        }
    )
    told = Findings()
    together = derived(patients, Pdl1Rule(clone="22C3"), told)
    values = together[["pdl1_tps", "pdl1_tps_low", "pdl1_tps_high"]]
    assert values.isna().all(axis=1).tolist() == [True, False]
    assert told.codes() == ["clone_left_out"]
    assert patients["pdl1_tps"].notna().all()  # the input stays


@pytest.mark.parametrize(
    ("text", "clone"),
    [
        ("22C3 pharmDx", "22C3"),
        ("Dako 28-8", "28-8"),
        ("Ventana SP 142", "SP142"),
        ("E1L3N or 22C3 (MSK)", None),
        ("SP1423", None),
        ("several clones", None),
    ],
)
def test_a_clone_is_found_in_the_name_of_an_assay(text, clone):
    assert clone_in(text) == clone


@pytest.mark.parametrize(
    ("one", "other", "method", "together"),
    [
        ("22C3", "28-8", "pdl1_tps", True),
        ("28-8", "SP263", "pdl1_tps", True),
        ("22C3", "SP142", "pdl1_tps", False),
        ("22C3", "73-10", "pdl1_tps", False),
        ("22C3", "E1L3N", "pdl1_tps", False),
        ("22C3", None, "pdl1_tps", False),
        ("22C3", "28-8", "pdl1_cps", False),
        ("22C3", "SP263", "pdl1_ic", False),
        ("SP142", "SP142", "pdl1_ic", True),
    ],
)
def test_which_clones_agree(one, other, method, together):
    """Blueprint phase 2 (Tsao 2018, 10.1016/j.jtho.2018.05.013)."""
    assert (concordance({"a": one, "b": other}, method) == "") is together


@pytest.mark.parametrize(
    ("cancer", "method", "clone", "low", "high", "tier"),
    [
        ("nsclc", "pdl1_tps", "22C3", 0, 1, 0),  # <1 %
        ("nsclc", "pdl1_tps", "22C3", 1, 49, 1),
        ("nsclc", "pdl1_tps", "22C3", 50, 100, 2),
        ("nsclc", "pdl1_tps", "22C3", 0.99, 0.99, 0),
        ("nsclc", "pdl1_tps", "22C3", 1, 1, 1),
        ("nsclc", "pdl1_tps", "22C3", 50, 50, 2),
        ("nsclc", "pdl1_tps", "22C3", 1, 100, nan),  # spans 50
        ("nsclc", "pdl1_tps", "28-8", 60, 60, 1),  # one cut-off is listed for this clone
        ("nsclc", "pdl1_tps", "SP142", 60, 60, nan),  # none: SP142 is scored as TC
        ("nsclc", "pdl1_tc", "SP142", 50, 100, 1),
        ("nsclc", "pdl1_ic", "SP142", 5, 10, 0),  # IC2
        ("nsclc", "pdl1_ic", "SP142", 5, 100, nan),  # IC2+ spans 10
        ("head_and_neck", "pdl1_cps", "22C3", 20, 20, 2),
        ("head_and_neck", "pdl1_cps", "22C3", 1, 19, 1),
        ("renal", "pdl1_tps", "22C3", 60, 60, nan),
    ],
)
def test_tiers(cancer, method, clone, low, high, tier):
    patients = pd.DataFrame(
        {
            "cancer_type": [cancer],
            method: [(low + high) / 2],
            f"{method}_low": [float(low)],
            f"{method}_high": [float(high)],
        }
    )
    found = tiers_of(patients, method, Pdl1Rule(tiers=True), clone)
    assert found.tolist() == pytest.approx([tier], nan_ok=True)


def test_cut_offs_are_those_of_the_day():
    """CPS 1 for gastric cancer is in the US label since June 2025."""
    patients = pd.DataFrame({"cancer_type": ["gastric"], "pdl1_cps": [3.0]})
    tiers = {
        day: tiers_of(patients, "pdl1_cps", Pdl1Rule(tiers=True, cutoffs_on=day), "22C3")
        for day in ("2025-05", "2025-07-01", "2026")
    }
    assert [t.tolist() for t in tiers.values()] == [
        pytest.approx([nan], nan_ok=True),
        [1.0],
        [1.0],
    ]


def test_cut_offs_name_known_things_and_their_source():
    document = pdl1_cutoffs()
    cancers = field_named("cancer_type").enum
    clones = load_schema("pdl1").fields["pdl1_clone"].enum
    for row in document["cutoffs"]:
        assert row["indication"] in cancers
        assert row["clone"] in clones
        assert row["method"] in METHODS
        assert row["source"]
        assert 0 < row["cutoff"] <= 100
        assert row["jurisdiction"] in ("US", "EU", "trial")
    assert set(document["clones"]) == set(clones) - {"other"}
    assert {entry["group"] for entry in document["clones"].values()} == set(document["groups"])
