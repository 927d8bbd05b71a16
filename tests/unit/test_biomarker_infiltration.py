"""Regions of slides, cells by deconvolution, and all that goes beside what is reported."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stratify.biomarkers.deconvolution import Deconvolution, read_deconvolution
from stratify.biomarkers.expression_signatures import ExpressionSignatures
from stratify.biomarkers.measurement import add_measured
from stratify.biomarkers.regions import TissueRegions, aggregate_regions, region_findings
from stratify.tables.findings import Findings
from stratify.tables.measurements import DeconvolutionTable, ExpressionMatrix, RegionRule
from stratify.tables.schema import load_schema, signature_sets

IDS = ["a", "b", "c"]
Told = list[tuple[str, str, int, str]]


def regions(**columns: Any) -> pd.DataFrame:
    """Rows of one patient unless `patient_id` is given."""
    n = max(len(values) for values in columns.values() if isinstance(values, list))
    ids = columns.pop("patient_id", ["a"] * n)
    return pd.DataFrame({"patient_id": ids, "region_id": range(n), **columns})


def of_one(rule: RegionRule | None = None, **columns: Any) -> pd.Series:
    return aggregate_regions(regions(**columns), rule or RegionRule()).loc["a"]


def patients(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"patient_id": IDS, **columns})


def added(before, measurement, table, rule, findings):
    """Patients with what follows from a table of a measurement."""
    (need,) = measurement.needs
    tables = {
        need: ({"regions": "r.csv", "deconvolution": "d.csv", "expression": "m.csv"}[need], table)
    }
    return add_measured(before, measurement, tables, rule, "home", findings)


def told(findings: Findings) -> Told:
    keys = ("code", "column", "n", "message")
    return [tuple(row[key] for key in keys) for row in findings.rows]  # type: ignore[misc]


# -- regions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("aggregate", "density", "percent", "score"),
    [
        ("mean", 300, 20, 1),
        ("median", 200, 10, 1),
        ("max", 700, 50, 3),
        ("min", 0, 0, 0),
    ],
)
def test_regions_are_aggregated_as_asked(aggregate, density, percent, score):
    """Of the four scores the lower median is taken, which a pathologist gave."""
    values = of_one(
        RegionRule(aggregate=aggregate),
        cd8_density=[700.0, 200.0, 0.0, None],
        cd8_percent=[50.0, None, 10.0, 0.0],
        til_score=[3, 0, 2, 1],
    )

    assert values[["cd8_density", "cd8_percent", "til_score"]].tolist() == [density, percent, score]
    assert values["n_regions"] == 4


def test_the_mean_is_that_of_all_cells_on_all_area():
    cells, area = [40, 0, 300], [0.5, 1.0, 2.5]
    counted = of_one(cd8_cells=cells, area=area)
    stated = of_one(cd8_density=[80.0, 0.0, 120.0], area=area)

    assert counted["cd8_density"] == stated["cd8_density"] == 340 / 4


def test_regions_count_alike_where_an_area_is_missing():
    assert of_one(cd8_density=[80.0, 20.0], area=[3.0, None])["cd8_density"] == 50


def test_compartments_stay_apart():
    """T cells in the stroma do not make a tumour inflamed."""
    values = of_one(
        RegionRule(inflamed_from=100),
        cd8_density=[10.0, 900.0, 300.0, 50.0],
        compartment=["tumour", "stroma", "margin", None],
    )
    names = ["cd8_density", "cd8_density_stroma", "cd8_density_margin", "immune_phenotype"]

    assert values[names].tolist() == [30, 900, 300, "excluded"]


@pytest.mark.parametrize(
    ("tumour", "stroma", "margin", "pattern"),
    [
        (100, None, None, "inflamed"),
        (150, 20, 20, "inflamed"),
        (99, 100, 20, "excluded"),
        (99, None, 100, "excluded"),
        (0, 99, 0, "desert"),
        (0, None, 99, "desert"),
        (99, None, None, None),  # what is around the tumour is not known
        (None, 900, 900, None),
    ],
)
def test_phenotype_by_density(tumour, stroma, margin, pattern):
    values = of_one(
        RegionRule(inflamed_from=100),
        cd8_density=[tumour, stroma, margin],
        compartment=["tumour", "stroma", "margin"],
    )

    assert values["immune_phenotype"] == pattern


@pytest.mark.parametrize(
    ("patterns", "area", "pattern"),
    [
        (["inflamed", "desert", "desert"], None, "desert"),
        (["inflamed", "desert", "desert"], [5.0, 1.0, 1.0], "inflamed"),
        (["inflamed", "desert", "desert"], [5.0, 1.0, None], "desert"),
        (["inflamed", "desert", None], None, None),  # as many of one as of the other
        (["inflamed", "desert", "excluded"], [1.0, 2.0, 2.0], None),
    ],
)
def test_phenotype_is_that_of_most_regions(patterns, area, pattern):
    columns = {"immune_phenotype": patterns} | ({} if area is None else {"area": area})

    assert of_one(**columns)["immune_phenotype"] == pattern


def test_a_recorded_phenotype_goes_before_densities():
    values = of_one(
        RegionRule(inflamed_from=100), cd8_density=[900.0], immune_phenotype=["excluded"]
    )

    assert values["immune_phenotype"] == "excluded"


def test_a_patient_does_not_depend_on_the_others():
    rng = np.random.default_rng(2)
    table = regions(
        patient_id=list("abcabcabc"),
        area=[*rng.uniform(0.5, 3, 8), None],
        cd8_density=rng.uniform(0, 900, 9).tolist(),
        til_score=rng.integers(0, 4, 9).tolist(),
        immune_phenotype=rng.choice(["desert", "inflamed"], 9).tolist(),
    )
    rule = RegionRule(inflamed_from=300)
    together = aggregate_regions(table, rule)
    alone = [aggregate_regions(table[table["patient_id"] == i], rule) for i in "abc"]
    shuffled = aggregate_regions(table.sample(frac=1, random_state=1), rule)

    pd.testing.assert_frame_equal(pd.concat(alone), together)
    pd.testing.assert_frame_equal(shuffled.loc[list("abc")], together)


REGION_FAULTS: list[tuple[dict[str, Any], tuple[str, str, int, str]]] = [
    (
        {"cd8_density": [1.0, 2.0], "patient_id": ["a", None]},
        ("missing_identifier", "patient_id", 1, "r.csv, row 2: no patient identifier."),
    ),
    (
        {"cd8_density": [1.0, 2.0], "region_id": "core"},
        (
            *("duplicate_region", "region_id", 2),
            "r.csv, rows 1 and 2: the same patient, region and compartment more than once.",
        ),
    ),
    (
        {"cd8_density": [1.0, -2.0]},
        (
            *("outside_limits", "cd8_density", 1),
            "r.csv, row 2: cd8_density outside 0 to 50000 cells/mm2.",
        ),
    ),
    (
        {"cd8_cells": [5, 7], "area": [1.0, 0.0]},
        ("outside_limits", "area", 1, "r.csv, row 2: area outside 1e-06 to 10000 mm2."),
    ),
    (
        {"cd8_percent": [1.0, 101.0]},
        (
            *("outside_limits", "cd8_percent", 1),
            "r.csv, row 2: cd8_percent outside 0 to 100 percent.",
        ),
    ),
    (
        {"til_score": [1, "brisk"]},
        ("not_numeric", "til_score", 1, "r.csv, row 2: til_score is not a number."),
    ),
    (
        {"cd8_cells": [50, 70], "area": [1.0, 2.0], "cd8_density": [50.0, 70.0]},
        (
            *("density_contradiction", "cd8_density", 1),
            "r.csv, row 2: cd8_density is not cd8_cells by area; the density is used.",
        ),
    ),
    (
        {"cd8_density": [1.0, 2.0, 3.0], "area": [1.0, None, None]},
        (
            *("region_area_missing", "area", 1),
            "r.csv, rows 2 and 3: no area, which other regions of the patient have; all count "
            "alike.",
        ),
    ),
]


@pytest.mark.parametrize(("columns", "expected"), REGION_FAULTS)
def test_faults_of_regions_are_told(columns, expected):
    found = region_findings(regions(**columns), name="r.csv")

    keys = ("code", "column", "n", "message")
    assert [tuple(each[key] for key in keys) for each in found.rows] == [expected]
    assert expected[0] in load_schema("findings").codes


def test_regions_need_patients():
    found = region_findings(pd.DataFrame({"cd8_density": [1.0]}), name="r.csv")

    assert found.messages() == ["r.csv: no column patient_id; see the regions dictionary."]
    with pytest.raises(TypeError, match=r"^regions is a dict; expected a DataFrame\.$"):
        region_findings({})  # type: ignore[arg-type]


def test_regions_go_beside_what_is_reported():
    findings = Findings()
    table = regions(
        patient_id=["a", "a", "b", "x"],
        cd8_density=[100.0, 300.0, 50.0, 1.0],
        immune_phenotype=["inflamed", "inflamed", "desert", "desert"],
    )
    before = patients(
        cd8_density=[250.0, 50.0, np.nan], immune_phenotype=["desert", None, "desert"]
    )

    after = add_measured(
        before, TissueRegions(), {"regions": ("r.csv", table)}, RegionRule(), "home", findings
    )

    assert after["cd8_density"].tolist()[:2] == [250.0, 50.0]
    assert after["n_regions"].tolist()[:2] == [2.0, 1.0]
    assert list(after) == ["patient_id", "cd8_density", "immune_phenotype", "n_regions"]
    assert told(findings) == [
        (
            *("unmatched_patient", "patient_id", 1),
            "r.csv: 1 of 3 patients are not in the cohort's first table.",
        ),
        (
            *("not_measured", "", 1),
            "r.csv: 1 of 3 patients have no usable row; they are read as not measured.",
        ),
        (
            *("reported_differs", "cd8_density", 1),
            "r.csv: cd8_density as derived differs from what is reported in 1 of 2 patients; the "
            "reported one is used.",
        ),
        (
            *("reported_differs", "immune_phenotype", 1),
            "r.csv: immune_phenotype as derived differs from what is reported in 1 of 1 patients; "
            "the reported one is used.",
        ),
        (
            *("filled_by_derivation", "immune_phenotype", 1),
            "r.csv: immune_phenotype of 1 patients, for whom it is not reported.",
        ),
    ]


def test_regions_with_faults_change_nothing():
    findings = Findings()
    before = patients()

    after = add_measured(
        before,
        TissueRegions(),
        {"regions": ("r.csv", regions(cd8_percent=[300.0]))},
        RegionRule(),
        "h",
        findings,
    )

    assert after is before
    assert findings.codes() == ["outside_limits"]


# -- deconvolution ---------------------------------------------------------------------------------

CIBERSORTX = pd.DataFrame(
    {
        "Mixture": IDS,
        "T cells CD8": [0.2, 0.5, 0.1],
        "T cells regulatory (Tregs)": [0.1, 0.0, 0.2],
        "Macrophages M2": [0.7, 0.5, 0.7],
        "P-value": [0.0, 0.01, 0.2],
        "Correlation": 0.8,
        "RMSE": 0.7,
    }
)
MCP = pd.DataFrame(
    {
        "cell": ["T cells", "CD8 T cells", "Cytotoxic lymphocytes", "Fibroblasts"],
        "a": [5.5, 3.25, 2.0, 9.0],
        "b": [4.5, 1.25, 1.0, 8.0],
    }
)


def cells(table: pd.DataFrame, method: str) -> tuple[pd.DataFrame, list[tuple[str, int, str]]]:
    settings = DeconvolutionTable(method=method)  # type: ignore[arg-type]
    read, found = read_deconvolution(table, settings, name="d.csv")
    return read, [(each["code"], each["n"], each["message"]) for each in found.rows]


def test_cibersortx_is_read_and_a_poor_fit_is_told():
    read, found = cells(CIBERSORTX, "cibersortx")

    assert read.index.tolist() == IDS
    assert read["cibersortx_cd8"].tolist() == [0.2, 0.5, 0.1]
    assert list(read) == ["cibersortx_cd8", "cibersortx_treg", "cibersortx_macrophage_m2"]
    text = "d.csv, row 3: P-value above 0.05: the mixture is explained no better than by chance."
    assert found == [("deconvolution_poor_fit", 1, text)]


def test_cibersortx_in_absolute_mode_has_names_of_its_own():
    table = CIBERSORTX.assign(**{name: CIBERSORTX[name] * 4 for name in CIBERSORTX.columns[1:4]})
    table["P-value"], table["Absolute score (sig.score)"] = 0.0, 4.0

    read, found = cells(table, "cibersortx")

    assert found == []
    assert read["cibersortx_abs_cd8"].tolist() == pytest.approx([0.8, 2.0, 0.4])


LM22 = list(signature_sets()["deconvolution"]["cibersortx"]["cells"])


def whole_table(n: int = 4, names: list[str] = LM22) -> pd.DataFrame:
    shares = np.random.default_rng(0).dirichlet(np.ones(len(LM22)), n)
    return pd.DataFrame(shares, columns=names).round(6).assign(**{"P-value": 0.0})


def r_name(name: str) -> str:
    """As R's read.table makes of a name of a column."""
    return re.sub(r"[^A-Za-z0-9_.]", ".", name)


@pytest.mark.parametrize("written", [str, r_name, str.upper, lambda x: x.replace(" ", "_")])
def test_relative_cibersortx_is_read_as_such_however_its_cells_are_written(written):
    table = whole_table()
    renamed = table.rename(columns=written).assign(Mixture=list("abcd"))
    found = cells(first(renamed), "cibersortx")
    assert found[0]["cibersortx_treg"].tolist() == table["T cells regulatory (Tregs)"].tolist()
    assert found[0].shape[1] == 22
    assert found[1] == []


def first(table: pd.DataFrame) -> pd.DataFrame:
    return table[["Mixture", *(name for name in table if name != "Mixture")]]


def test_a_poor_fit_is_seen_under_the_name_that_r_gives():
    table = whole_table().assign(Mixture=list("abcd"), **{"P-value": 0.3}).rename(columns=r_name)
    assert [(code, n) for code, n, _ in cells(first(table), "cibersortx")[1]] == [
        ("deconvolution_poor_fit", 4)
    ]


def test_percents_a_subset_and_no_permutations_are_not_absolute():
    table = whole_table().assign(Mixture=list("abcd"))
    percent = table.assign(**{name: 100 * table[name] for name in LM22})
    read, found = cells(first(percent), "cibersortx")
    assert read["cibersortx_cd8"].tolist() == pytest.approx(table["T cells CD8"].tolist())
    assert [code for code, _, _ in found] == ["deconvolution_mode"]
    read, found = cells(table[["Mixture", "T cells CD8", "Monocytes"]], "cibersortx")
    assert list(read) == ["cibersortx_cd8", "cibersortx_monocyte"]
    assert found[0][2] == "d.csv, rows 1, 2, 3 and 4: 2 of 22 cells, read as shares of all."
    _, found = cells(first(table.assign(**{"P-value": 9999})), "cibersortx")
    assert [(code, text.partition(": ")[2]) for code, _, text in found] == [
        (
            "deconvolution_mode",
            "P-value was not computed (0 permutations); how well mixtures fit is not known.",
        )
    ]


def test_some_cells_of_an_unknown_mode_ask_for_it():
    shares = {"T cells CD8": [0.8, 3.1], "Monocytes": [0.4, 0.1]}
    table = pd.DataFrame({"Mixture": ["a", "b"], **shares})
    read, found = cells(table, "cibersortx")
    assert [code for code, _, _ in found] == ["deconvolution_mode_unknown"]
    assert found[0][2] == (
        "d.csv, rows 1 and 2: 2 of 22 cells that add up to more than 1: their mode cannot be told; "
        "state `mode: absolute` or `mode: relative`."
    )
    stated = DeconvolutionTable(method="cibersortx", mode="absolute")
    read, findings = read_deconvolution(table, stated, name="d.csv")
    assert list(read) == ["cibersortx_abs_cd8", "cibersortx_abs_monocyte"]
    assert findings.rows == []


def test_two_modes_in_one_table_are_told():
    table = CIBERSORTX.assign(**{"P-value": 0.0})
    table.loc[1, "T cells CD8"] = 3.5
    text = "d.csv, row 2: cells do not add up to 1 as in the other patients; one mode is expected."

    assert cells(table, "cibersortx")[1] == [
        ("scales_mixed", 1, text),
        ("outside_limits", 1, "d.csv, row 2: cibersortx_cd8 outside 0 to 1."),
    ]


@pytest.mark.parametrize("turned", [False, True])
def test_mcp_counter_is_read_in_both_directions(turned):
    table = MCP.set_index("cell").T.reset_index() if turned else MCP

    read, found = cells(table, "mcpcounter")

    assert found == []
    assert read.index.tolist() == ["a", "b"]
    assert read["mcpcounter_cd8"].tolist() == [3.25, 1.25]
    assert read["mcpcounter_fibroblast"].tolist() == [9.0, 8.0]


def test_quantiseq_must_be_whole():
    names = list(signature_sets()["deconvolution"]["quantiseq"]["cells"])
    table = pd.DataFrame(np.full((2, 11), 1 / 11), columns=names)
    table.insert(0, "Sample", ["a", "b"])
    table.loc[1, "Other"] = 0.5

    read, found = cells(table, "quantiseq")

    assert read["quantiseq_treg"].tolist() == [1 / 11, 1 / 11]
    assert found == [("outside_limits", 1, "d.csv, row 2: cells and `Other` should add up to 1.")]


def test_what_is_no_cell_is_told():
    table = MCP.set_index("cell").T.rename_axis("id").reset_index().assign(Hepatocytes=1.0)
    table.loc[0, "T cells"], table["id"] = np.nan, ["a", "a"]
    table = table.astype({"CD8 T cells": object})
    table.loc[1, "CD8 T cells"] = "many"

    assert cells(table, "mcpcounter")[1] == [
        ("unknown_column", 1, "d.csv: columns that are no cell of mcpcounter: Hepatocytes."),
        ("duplicate_patient", 2, "d.csv, rows 1 and 2: patients that stand more than once."),
        ("not_numeric", 1, "d.csv, row 2: text where numbers are expected."),
    ]


def test_a_table_of_another_method_is_told():
    text = (
        "d.csv: no cell of quantiseq; expected B.cells, Macrophages.M1, Macrophages.M2, Monocytes, "
        "Neutrophils, NK.cells, T.cells.CD4, T.cells.CD8 and 3 more."
    )
    table = pd.DataFrame({"id": ["a"], "Endothelium": [0.1]})

    assert cells(table, "quantiseq")[1] == [("missing_column", 11, text)]


def test_every_cell_has_a_column_of_the_dictionary():
    fields = load_schema("infiltration").fields
    names = [
        f"{method}_{short}"
        for method, about in signature_sets()["deconvolution"].items()
        for short in about["cells"].values()
    ]

    assert len(names) == len(set(names)) == 43
    assert all(fields[name].title.startswith("Cells by") for name in names)
    assert fields["cibersortx_abs_cd8"].maximum == 1000
    assert fields["cibersortx_cd8"].maximum == 1


def test_cells_go_beside_the_other_columns():
    findings = Findings()
    settings = DeconvolutionTable(method="mcpcounter")

    after = add_measured(
        patients(), Deconvolution(), {"deconvolution": ("d.csv", MCP)}, settings, "home", findings
    )

    assert after["mcpcounter_t"].tolist()[:2] == [5.5, 4.5]
    assert after["mcpcounter_t"].isna().tolist() == [False, False, True]
    assert findings.codes() == ["not_measured"]


# -- signatures ------------------------------------------------------------------------------------

MATRIX = pd.DataFrame(
    {
        "gene": ["GZMA", "PRF1", "CD8A", "CD8B"],
        "c": [31.0, 127.0, 63.0, 0.0],
        "a": [0.0, 0.0, 255.0, 3.0],
        "y": [1.0, 1.0, 1.0, 1.0],
    }
)


def test_signatures_go_beside_the_other_columns():
    findings = Findings()
    before = patients(cyt=[0.0, np.nan, 9.0])

    after = add_measured(
        before,
        ExpressionSignatures(),
        {"expression": ("m.csv", MATRIX)},
        ExpressionMatrix(unit="TPM"),
        "home",
        findings,
    )

    assert list(after) == ["patient_id", "cyt", "cells_cd8"]
    assert after["cells_cd8"].tolist() == [5.0, pytest.approx(np.nan, nan_ok=True), 3.0]
    assert after["cyt"].tolist()[2] == 9.0
    assert findings.codes() == [
        *("gene_coverage_low", "genes_not_comparable"),
        *("unmatched_patient", "not_measured", "reported_differs"),
    ]
    assert {row["panel"] for row in findings.rows} == {"infiltration"}


def test_a_matrix_with_faults_changes_nothing():
    findings = Findings()
    before = patients()
    settings = ExpressionMatrix(unit="TPM", genes="columns")

    assert (
        add_measured(
            before,
            ExpressionSignatures(),
            {"expression": ("m.csv", MATRIX)},
            settings,
            "home",
            findings,
        )
        is before
    )
    assert findings.codes() == ["matrix_orientation"]


def test_patients_of_another_study_are_told():
    findings = Findings()
    strangers = MATRIX.rename(columns={"a": "u", "c": "v"})

    after = add_measured(
        patients(),
        ExpressionSignatures(),
        {"expression": ("m.csv", strangers)},
        ExpressionMatrix(unit="TPM"),
        "home",
        findings,
    )

    assert list(after) == ["patient_id"]
    text = "m.csv: 3 of 3 patients are not in the cohort's first table."
    assert ("no_patient_matched", "patient_id", 3, text) in told(findings)
