"""Each finding about raw measurements, from a defect planted in a study file or its tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from planted import MARKERS, Case

from stratify.tables.schema import signature_sets

RAW = ("mutations", "plasma_variants", "plasma_draws", "regions", "expression", "deconvolution")


def _with(
    name: str, change: Callable[[Any], Any] = lambda h: None, **columns: Any
) -> Callable[[Any], None]:
    """Plant a defect in a study with a table of raw measurements, and columns that it maps too."""

    def plant(h: Any) -> None:
        h.add_measurements(name)
        for column, source in columns.items():
            h.source(name)["panels"][name][column] = source
        change(h)

    return plant


def _repeat(file: str, *lines: int) -> Callable[[Any], None]:
    def plant(h: Any) -> None:
        table = h.tables[file]
        again = table.loc[[line - 2 for line in lines]]
        h.tables[file] = pd.concat([table, again], ignore_index=True)

    return plant


def _drop(file: str, *lines: int) -> Callable[[Any], None]:
    def plant(h: Any) -> None:
        h.tables[file] = h.tables[file].drop(index=[line - 2 for line in lines])

    return plant


def _absolute_cells(h: Any) -> None:
    table = h.tables["deconvolution"]
    h.tables["deconvolution"] = table[[table.columns[0]]].assign(
        **{"T cells CD8": "0.8", "Monocytes": "1.4"}
    )


def _without_alleles(h: Any) -> None:
    for name in ("reference_allele", "alternate_allele"):
        del h.source("mutations")["panels"]["mutations"][name]


def _other_caller(h: Any) -> None:
    table = h.tables["mutations"]
    last = table.index[-1]
    for column, write in (("Chr", lambda c: f"chr{c}"), ("Ref", str.lower), ("Alt", str.lower)):
        table.loc[last, column] = write(str(table.loc[last, column]))


def _samples(h: Any) -> None:
    h.tables["mutations"]["Sample"] = h.tables["mutations"]["Patient"] + "-T1"
    h.plant("mutations", "Sample", {3: "other"})


def _report_tmb(h: Any) -> None:
    """Beside 2.5 mut/Mb counted, two mutations in 0.8 Mb, another burden is reported in one."""
    h.tables["clinical"]["TMB"] = ["2.5", "2.49"] * 80
    h.plant("clinical", "TMB", {2: "4.1"})
    tmb = {"tmb": {"column": "TMB", "unit": "mut/Mb", "assay": "panel X"}}
    h.source("clinical")["panels"]["tmb"] = tmb


def _visits(h: Any) -> None:
    h.tables["plasma_draws"]["Visit"] = ["screening", "week_6"] * 160


def _genes(names: dict[str, str]) -> Callable[[Any], None]:
    return lambda h: h.change("expression", "gene", lambda gene: names.get(gene, gene))


def _first_gene_twice(h: Any) -> None:
    table = h.tables["expression"]
    again = table.loc[table["gene"] == "GZMA"]
    h.tables["expression"] = pd.concat([table, again.assign(gene="ENSG00000145649.8")])
    h.tables["expression"].iloc[-1, 1:] = "3.5"


def _log_of_log(h: Any) -> None:
    """A whole transcriptome in log2(log2(TPM + 1) + 1), stated as log2(TPM + 1)."""
    matrix = h.tables.pop("expression")
    patients = [name for name in matrix if name != "gene"]
    genes = [*matrix["gene"], *(f"GENE{i}" for i in range(10_000))]
    rng = np.random.default_rng(3)
    tpm = rng.lognormal(1, 2.2, (len(genes), len(patients)))
    tpm *= 1e6 / tpm.sum(axis=0)
    table = pd.DataFrame(np.log2(np.log2(tpm + 1) + 1), columns=patients)
    table.insert(0, "gene", genes)
    table.to_parquet(h.folder / "expression.parquet")
    h.source("expression")["expression"]["scale"] = "log2"
    h.source("expression")["file"] = "expression.parquet"


def _log_of_log_of_few_genes(h: Any) -> None:
    for patient in h.tables["expression"].columns.drop("gene"):
        h.change("expression", patient, lambda c: f"{np.log2(np.log2(float(c) + 1) + 1):.4f}")
    h.source("expression")["expression"]["scale"] = "log2"


def _patients_of_the_visit(h: Any) -> None:
    h.change("plasma_draws", "Patient", lambda name: f"{name}/B")
    h.plant("plasma_draws", "Patient", {4: "7-002/C"})
    h.source("plasma_draws")["identifier"] = {"pattern": r"(\d-\d+)/B"}


def _second_file(h: Any) -> None:
    """Another export of albumin: in one patient it differs, and one it has alone."""
    h.tables["lab"] = h.tables["clinical"][["Patient", "Albumin"]].copy()
    h.plant("lab", "Albumin", {5: "29.0"})
    h.plant("clinical", "Albumin", {9: ""})
    albumin = {"albumin": {"column": "Albumin", "unit": "g/L"}}
    entry = {"file": "lab.csv", "patient_id": "Patient", "fills": True}
    h.document["cohorts"][0]["tables"].append(entry | {"panels": {"clinical": albumin}})


def _reports(plant: dict[int, str], text: str = "TPS 60 % (22C3)", **rule: Any) -> Any:
    """PD-L1 as texts, in which some are replaced."""

    def change(h: Any) -> None:
        h.tables["clinical"]["PD-L1"] = text
        h.plant("clinical", "PD-L1", plant)
        h.source("clinical")["panels"]["pdl1"] = {"pdl1_report": "PD-L1"}
        h.document["cohorts"][0]["pdl1"] = rule

    return change


def _two_clones(h: Any) -> None:
    h.add_cohort("away", "external", seed=8)
    for file, assay in (("clinical", "22C3"), ("away_clinical", "SP142")):
        h.tables[file]["TPS"] = ["10", "60"] * 80
        tps = {"pdl1_tps": {"column": "TPS", "unit": "percent", "assay": assay}}
        h.source(file)["panels"]["pdl1"] = tps
    h.leave_out("tmb", "infiltration", "ctdna")
    h.document["cohorts"][1]["tables"] = [
        table for table in h.document["cohorts"][1]["tables"] if "markers" not in table["file"]
    ]


def _counts(plant: dict[str, dict[int, str]]) -> Callable[[Any], None]:
    """Blood counts, in which some are replaced."""
    counts = {"Leuko": ("leukocytes", "8.0"), "Neutro": ("neutrophils", "5.0")}
    counts["Lympho"] = ("lymphocytes", "2.0")

    def change(h: Any) -> None:
        h.column("nlr")  # as a mapping
        del h.source("clinical")["panels"]["clinical"]["nlr"]
        h.tables["clinical"] = h.tables["clinical"].drop(columns="NLR")
        for column, (name, cell) in counts.items():
            cells = [cell, f"{float(cell) + 0.2:.1f}"] * 80
            h.tables["clinical"][column] = cells
            h.plant("clinical", column, plant.get(column, {}))
            entry = {"column": column, "unit": "10^9/L"}
            h.source("clinical")["panels"]["clinical"][name] = entry

    return change


def _burdens(h: Any) -> None:
    """TMB of one panel in all patients, in the clinical file."""
    h.tables["clinical"]["TMB"] = [f"{1 + i / 10:.1f}" for i in range(160)]
    h.source("clinical")["panels"]["tmb"] = {
        "tmb": {"column": "TMB", "unit": "mut/Mb", "assay": "panel X"}
    }


def _paired(h: Any) -> None:
    _burdens(h)
    burden = [1 + i / 2 for i in range(28)]  # to 14.5 mut/Mb
    h.tables["pairs"] = pd.DataFrame({"panel": burden, "exome": [1 + 0.7 * b for b in burden]})
    pairs = {"file": "pairs.csv", "burden": "panel", "reference": "exome"}
    h.document["cohorts"][0]["tmb_pairs"] = pairs


def _rare_assay(h: Any) -> None:
    _burdens(h)
    h.tables["clinical"]["Panel"] = "X1"
    h.plant("clinical", "Panel", {4: "X2", 9: "X2"})
    h.source("clinical")["panels"]["tmb"]["tmb_assay"] = "Panel"
    h.document["training_scales"] = ["tmb"]


def _two_units(h: Any) -> None:
    h.add_cohort("away", "external", seed=8)
    for cohort in (0, 1):
        h.add_measurements("expression", cohort)
    h.source("away_expression")["expression"]["unit"] = "normalised"
    h.document["training_scales"] = ["expression"]
    h.leave_out(*MARKERS)


CASES = [
    Case(
        "beyond_paired_samples",
        _paired,
        "tmb of 24 patients lies outside the range of the 28 paired samples.",
        n=24,
        panel="tmb",
        column="tmb_harmonised",
    ),
    Case(
        "assay_not_in_training",
        _rare_assay,
        "2 of 160 patients with tmb were measured with an assay of fewer than 20 training "
        "patients, or none; learned are: X1.",
        n=2,
        panel="tmb",
        column="tmb_within_panel",
    ),
    Case(
        "expression_unit_differs",
        _two_units,
        "away_expression.csv is in normalised, the scale was learned in TPM; one unit is expected.",
        n=1,
        panel="infiltration",
        cohort="away",
    ),
    Case(
        "counts_contradiction",
        _counts({"Neutro": {4: "9.1", 7: "8.4"}}),
        "clinical.csv, lines 4 and 7: leukocytes is smaller than neutrophils in 2 of 160 patients.",
        n=2,
        panel="clinical",
        column="leukocytes",
    ),
    Case(
        "ratio_undefined",
        _counts({"Lympho": {4: "0"}}),
        "1 patients have no lymphocytes; ratios to them are missing.",
        n=1,
        panel="clinical",
        column="lymphocytes",
        also=("unusual_value",),
    ),
    Case(
        "report_not_read",
        _reports({4: "positive", 7: "strong staining"}),
        "pdl1_report, rows 3 and 6: reports in which no value of TPS, CPS, TC or IC is found; they "
        "are read as missing.",
        n=2,
        panel="pdl1",
        column="pdl1_report",
    ),
    Case(
        "report_ambiguous",
        _reports({4: "TPS 5 %, TPS 10 % (22C3)", 7: "TPS 5 %, 22C3 and SP263"}),
        "pdl1_report, rows 3 and 6: reports with several values of a method or clones, or words "
        "that are not understood beside them; they are read as missing.",
        n=2,
        panel="pdl1",
        column="pdl1_report",
    ),
    Case(
        "outside_limits",
        _reports({4: "TPS 600 % (22C3)"}),
        "pdl1_report, row 3: values outside 0 to 100.",
        n=1,
        panel="pdl1",
        column="pdl1_report",
        name="report",
    ),
    Case(
        "clones_mixed",
        _reports({4: "TPS 5 % (SP142)", 7: "TPS 5 %"}),
        "pdl1_tps was stained with 22C3 in 158, SP142 in 1 and not stated in 1 patients (22C3, "
        "28-8 and SP263, comparable on tumour cells; SP142, which stains fewer tumour cells; "
        "clones not stated or not known).",
        n=3,
        panel="pdl1",
        column="pdl1_tps",
    ),
    Case(
        "clones_concordant",
        _reports({4: "TPS 5 % (SP263)"}),
        "pdl1_tps was stained with 22C3 in 159 and SP263 in 1 patients.",
        n=2,
        panel="pdl1",
        column="pdl1_tps",
    ),
    Case(
        "clone_absent",
        lambda h: (
            h.tables["clinical"].insert(1, "TPS", ["10", "60"] * 80),
            h.source("clinical")["panels"].update(
                pdl1={"pdl1_tps": {"column": "TPS", "unit": "percent", "assay": "IHC"}}
            ),
        ),
        "the assay of pdl1_tps names no clone, or several.",
        n=160,
        panel="pdl1",
        column="pdl1_tps",
    ),
    Case(
        "clone_left_out",
        _reports({4: "TPS 5 % (SP142)", 7: "TPS 5 %"}, clone="22C3"),
        "pdl1_tps of 2 patients is not known to be of 22C3; it is read as missing.",
        n=2,
        panel="pdl1",
        column="pdl1_tps",
    ),
    Case(
        "clones_not_concordant",
        _two_clones,
        "pdl1_tps by cohort: 22C3, 28-8 and SP263, comparable on tumour cells; SP142, which stains "
        "fewer tumour cells.",
        n=2,
        panel="pdl1",
        column="pdl1_tps",
        cohort="",
        also=("assay_differs",),
    ),
    Case(
        "sources_differ",
        _second_file,
        "lab.csv: albumin differs from that of an earlier file in 1 of 159 patients; the earlier "
        "one is used.",
        n=1,
        panel="clinical",
        column="albumin",
    ),
    Case(
        "filled_from_another_file",
        _second_file,
        "lab.csv: albumin of 1 patients, who have none in earlier files.",
        n=1,
        panel="clinical",
        column="albumin",
        also=("sources_differ",),
    ),
    Case(
        "not_measured",
        _with("mutations", _drop("mutations", 2, 3, 8, 9)),
        "mutations.csv: 2 of 160 patients have no usable row; they are read as not measured.",
        n=2,
        panel="tmb",
        column="tmb",
    ),
    Case(
        "reported_differs",
        _with("mutations", _report_tmb),
        "mutations.csv: tmb as derived differs from what is reported in 1 of 160 patients; the "
        "reported one is used.",
        n=1,
        panel="tmb",
        column="tmb",
    ),
    Case(
        "several_samples",
        _with("mutations", _samples, sample_id="Sample"),
        "mutations.csv, lines 2 and 3: samples of patients who have several; one a patient is "
        "expected.",
        n=1,
        panel="mutations",
        column="sample_id",
    ),
    Case(
        "duplicate_variant",
        _with("mutations", _repeat("mutations", 4)),
        "mutations.csv, line 322: a variant in more than one row; it counts once.",
        n=1,
        panel="mutations",
        column="position",
    ),
    Case(
        "duplicate_variant",
        _with("mutations", lambda h: (_repeat("mutations", 4)(h), _without_alleles(h))),
        "mutations.csv, line 322: a variant in more than one row (by its position, without "
        "alleles); it counts once.",
        n=1,
        panel="mutations",
        column="position",
        name="without alleles",
    ),
    Case(
        "duplicate_variant",
        _with("mutations", lambda h: (_repeat("mutations", 4)(h), _other_caller(h))),
        "mutations.csv, line 322: a variant in more than one row; it counts once.",
        n=1,
        panel="mutations",
        column="position",
        name="as another caller writes it",
    ),
    Case(
        "copies_unknown",
        _with("mutations", lambda h: h.source("mutations")["panels"]["mutations"].pop("position")),
        "mutations.csv, lines 2, 3, 4, 5, 6 and 315 more: no chromosome and position; each row "
        "counts, also of one mutation's transcripts.",
        n=320,
        panel="mutations",
        column="position",
    ),
    Case(
        "variant_not_classified",
        _with(
            "mutations",
            lambda h: (
                h.plant("mutations", "VAF", {5: "", 9: ""}),
                h.source("mutations")["burden"].update(min_vaf=0.005),
            ),
        ),
        "mutations.csv, lines 5 and 9: no VAF; these do not reach 0.005 and do not count into the "
        "burden.",
        n=2,
        panel="mutations",
        column="vaf",
        name="without VAF",
    ),
    Case(
        "derived_unlikely",
        _with("mutations", lambda h: h.source("mutations")["burden"].update(scored_mb=0.02)),
        "mutations.csv: tmb as derived has its median outside 0.8 to 25 mut/Mb (160 patients "
        "above 0).",
        n=160,
        panel="tmb",
        column="tmb",
    ),
    Case(
        "outside_limits",
        _with("mutations", lambda h: h.source("mutations")["burden"].update(scored_mb=0.0011)),
        "mutations.csv: tmb as derived outside the possible 0 to 1000 mut/Mb in 160 of 160 "
        "patients.",
        n=160,
        panel="tmb",
        column="tmb",
        name="kilobases for megabases",
    ),
    Case(
        "variant_not_classified",
        _with("mutations", lambda h: h.plant("mutations", "Class", {5: "", 9: "NA"})),
        "mutations.csv, lines 5 and 9: no consequence; these do not count into the burden.",
        n=2,
        panel="mutations",
        column="consequence",
    ),
    Case(
        "unknown_category",
        _with("mutations", lambda h: h.change("mutations", "Class", "some_class")),
        "mutations.csv, lines 2, 3, 4, 5, 6 and 315 more: 'some_class' (320 rows) of "
        "consequence not known; levels are missense, nonsense, nonstop, frameshift, "
        "inframe_indel, splice_site, splice_region, start_codon, synonymous, non_coding.",
        n=320,
        panel="mutations",
        column="consequence",
        also=("variant_not_classified",),
    ),
    Case(
        "looks_like_another_unit",
        _with(
            "mutations", lambda h: h.change("mutations", "VAF", lambda c: f"{100 * float(c):.2f}")
        ),
        "mutations.csv, lines 2, 3, 4, 5, 6 and 314 more: vaf is read as a fraction but looks "
        "like percent (319 of 320 values exceed 1).",
        n=319,
        panel="mutations",
        column="vaf",
        name="VAF in percent",
    ),
    Case(
        "looks_like_another_unit",
        _with(
            "plasma_variants",
            lambda h: h.change("plasma_variants", "VAF", lambda c: f"{100 * float(c):.2f}"),
        ),
        "plasma_variants.csv, lines 2, 3, 4, 5, 6 and 314 more: vaf is read as a fraction but "
        "looks like percent (319 of 320 values exceed 1).",
        n=319,
        panel="plasma_variants",
        column="vaf",
        name="VAF in plasma in percent",
    ),
    Case(
        "looks_like_another_unit",
        _with("expression", _log_of_log),
        "expression.parquet: stated in log2 TPM, but looks like a logarithm of a logarithm.",
        n=160,
        panel="infiltration",
        name="log of log",
    ),
    Case(
        "looks_like_another_unit",
        _with("expression", _log_of_log_of_few_genes),
        "expression.csv: stated in log2 TPM, but the values are as low as logarithms.",
        n=160,
        panel="infiltration",
        name="log of log of few genes",
    ),
    Case(
        "outside_limits",
        _with("expression", lambda h: h.plant("expression", "7-003", {5: "-3.5"})),
        "expression.csv, column 4: values below 0.",
        n=1,
        panel="infiltration",
        name="expression",
    ),
    Case(
        "outside_limits",
        _with("plasma_variants", lambda h: h.plant("plasma_variants", "VAF", {4: "-0.02"})),
        "plasma_variants.csv, line 4: vaf outside 0 to 1 fraction.",
        n=1,
        panel="plasma_variants",
        column="vaf",
        name="VAF",
    ),
    Case(
        "assay_absent",
        _with("mutations", lambda h: h.source("mutations")["burden"].pop("assay")),
        "mutations.csv: no assay is stated for tmb.",
        n=1,
        panel="tmb",
        column="tmb",
        name="burden",
    ),
    Case(
        "pattern_not_matched",
        _with("plasma_draws", _patients_of_the_visit),
        "plasma_draws.csv, line 4: identifiers that do not fit the stated pattern.",
        n=1,
        column="patient_id",
        name="identifiers",
    ),
    Case(
        "pattern_not_matched",
        _with(
            "plasma_draws",
            lambda h: (_visits(h), h.plant("plasma_draws", "Visit", {5: "w 6"})),
            draw_visit={"column": "Visit", "pattern": "^(screening|week_6)$"},
        ),
        "plasma_draws.csv, line 5: texts of draw_visit that do not fit the stated pattern.",
        n=1,
        panel="plasma_draws",
        column="draw_visit",
        name="texts",
    ),
    Case(
        "unknown_category",
        _with(
            "plasma_draws",
            lambda h: (_visits(h), h.plant("plasma_draws", "Visit", {5: "C3D1"})),
            draw_visit="Visit",
        ),
        "plasma_draws.csv, line 5: 1 rare level of draw_visit not known; levels are baseline, "
        "week_3, week_4, week_6, week_8, week_9, week_12.",
        n=1,
        panel="plasma_draws",
        column="draw_visit",
        name="visit",
    ),
    Case(
        "chip_dropped",
        _with(
            "plasma_variants",
            lambda h: (
                h.plant("plasma_variants", "Gene", {2: "DNMT3A", 7: "TET2"}),
                h.document["cohorts"][0].update(plasma={"drop_chip": "genes"}),
            ),
        ),
        "plasma_variants.csv, lines 2 and 7: variants left out as clonal haematopoiesis, by genes.",
        n=2,
        panel="plasma_variants",
        column="gene",
    ),
    Case(
        "post_baseline_value",
        _with(
            "plasma_draws",
            lambda h: (_visits(h), h.plant("plasma_draws", "Day", {4: "2"})),
            draw_visit="Visit",
        ),
        "plasma_draws.csv, line 4: a baseline draw after the first dose (day 0).",
        n=1,
        panel="plasma_draws",
        column="draw_visit",
        name="baseline draw",
    ),
    Case(
        "cfdna_zero",
        _with("plasma_draws", lambda h: h.plant("plasma_draws", "DNA", {4: "0"})),
        "plasma_draws.csv, line 4: a concentration of cell-free DNA of 0; it is read as missing.",
        n=1,
        panel="plasma_draws",
        column="cfdna_concentration",
    ),
    Case(
        "several_draws",
        _with("plasma_draws", lambda h: h.plant("plasma_draws", "Day", {5: "-8"})),
        "plasma_draws.csv, lines 4 and 5: several draws of a patient for one visit; the one "
        "nearest to its day is used.",
        n=1,
        panel="plasma_draws",
        column="draw_day",
    ),
    Case(
        "duplicate_visit",
        _with("plasma_draws", lambda h: h.plant("plasma_draws", "Day", {5: "-3"})),
        "plasma_draws.csv, lines 4 and 5: the same patient, visit and day more than once.",
        n=2,
        panel="plasma_draws",
        column="draw_day",
        name="draws",
    ),
    Case(
        "draw_outside_window",
        _with(
            "plasma_draws",
            lambda h: (_visits(h), h.plant("plasma_draws", "Day", {5: "61"})),
            draw_visit="Visit",
        ),
        "plasma_draws.csv, line 5: a day that does not fit the visit recorded; left out.",
        n=1,
        panel="plasma_draws",
        column="draw_day",
    ),
    Case(
        "draw_unassigned",
        _with("plasma_draws", lambda h: h.plant("plasma_draws", "Day", {5: "104", 9: "30"})),
        "plasma_draws.csv, lines 5 and 9: draws of no visit that becomes a feature.",
        n=2,
        panel="plasma_draws",
        column="draw_day",
    ),
    Case(
        "draw_after_landmark",
        _with("plasma_draws", lambda h: h.plant("plasma_draws", "Day", {5: "44"})),
        "plasma_draws.csv, line 5: draws of week_6 taken after day 42; a landmark of week 7 has "
        "them all behind it.",
        n=1,
        panel="plasma_draws",
        column="draw_day",
    ),
    Case(
        "draw_not_known_yet",
        _with(
            "plasma_draws",
            lambda h: (
                h.plant("plasma_draws", "Day", {5: "45", 9: "60"}),
                h.document.update(landmark_weeks=6),
            ),
        ),
        "plasma_draws.csv: 2 rows of draws after the landmark (day 42); they are left out.",
        n=2,
        panel="plasma_draws",
        column="draw_day",
    ),
    Case(
        "ctdna_not_evaluable",
        _with("plasma_draws", lambda h: h.plant("plasma_draws", "VAF", {2: "0", 8: "0"})),
        "plasma_draws.csv: 2 of 160 patients with a draw of week_6 have undetected ctDNA at "
        "baseline, or no measured baseline.",
        n=2,
        panel="ctdna",
        column="ctdna_ratio_week_6",
    ),
    Case(
        "duplicate_region",
        _with("regions", lambda h: h.plant("regions", "Region", {3: "1"})),
        "regions.csv, lines 2 and 3: the same patient, region and compartment more than once.",
        n=2,
        panel="regions",
        column="region_id",
    ),
    Case(
        "density_contradiction",
        _with("regions", lambda h: h.plant("regions", "Density", {3: "4.0"})),
        "regions.csv, line 3: cd8_density is not cd8_cells by area; the density is used.",
        n=1,
        panel="regions",
        column="cd8_density",
    ),
    Case(
        "region_area_missing",
        _with("regions", lambda h: h.plant("regions", "Area", {3: ""})),
        "regions.csv, line 3: no area, which other regions of the patient have; all count alike.",
        n=1,
        panel="regions",
        column="area",
    ),
    Case(
        "matrix_orientation",
        _with("expression", lambda h: h.source("expression")["expression"].update(genes="columns")),
        "expression.csv: genes are stated in columns, where 0 genes of signatures stand, but 138 "
        "stand in rows.",
        n=138,
        panel="infiltration",
    ),
    Case(
        "genes_not_found",
        _with("expression", lambda h: h.change("expression", "gene", lambda g: f"{len(g)}_at")),
        "expression.csv: none of 138 names is a gene of a signature; they look like names of "
        "probes. Human symbols (HGNC) or Ensembl gene identifiers are expected.",
        n=138,
        panel="infiltration",
    ),
    Case(
        "gene_name_mangled",
        _with("expression", _genes({"CD8A": "2-Sep"})),
        "expression.csv, line 39: names that a spreadsheet turned into dates or numbers; these "
        "genes are left out.",
        n=1,
        panel="infiltration",
        also=("gene_coverage_low",),
    ),
    Case(
        "gene_duplicated",
        _with("expression", _first_gene_twice),
        "expression.csv: 1 genes in more than one row, of signatures GZMA; the rows are added up, "
        "exact copies count once.",
        n=1,
        panel="infiltration",
    ),
    Case(
        "gene_coverage_low",
        _with("expression", _genes({"GZMA": "OTHER"})),
        "expression.csv: less than 80 % of the genes by weight, not scored: cyt (50 %, without "
        "GZMA).",
        n=1,
        panel="infiltration",
    ),
    Case(
        "gene_coverage_partial",
        _with("expression", _genes({"FAM30A": "OTHER"})),
        "expression.csv: scored without some genes: cells_b (89 %, without FAM30A).",
        n=1,
        panel="infiltration",
    ),
    Case(
        "genes_not_comparable",
        _with("expression"),
        "expression.csv: gep_ssgsea needs 10000 genes.",
        n=1,
        panel="infiltration",
    ),
    Case(
        "scales_mixed",
        _with(
            "expression", lambda h: h.change("expression", "7-003", lambda c: f"{float(c) * 1e5}")
        ),
        "expression.csv, column 4: not in TPM like the others, by their total or highest value.",
        n=1,
        panel="infiltration",
    ),
    Case(
        "deconvolution_mode",
        _with("deconvolution", lambda h: h.plant("deconvolution", "P-value", {4: "9999"})),
        "deconvolution.csv, line 4: P-value was not computed (0 permutations); how well mixtures "
        "fit is not known.",
        n=1,
        panel="infiltration",
    ),
    Case(
        "deconvolution_mode_unknown",
        _with("deconvolution", _absolute_cells),
        "deconvolution.csv, lines 2, 3, 4, 5, 6 and 155 more: 2 of 22 cells that add up to more "
        "than 1: their mode cannot be told; state `mode: absolute` or `mode: relative`.",
        n=160,
        panel="infiltration",
    ),
    Case(
        "deconvolution_poor_fit",
        _with("deconvolution", lambda h: h.plant("deconvolution", "P-value", {4: "0.31"})),
        "deconvolution.csv, line 4: P-value above 0.05: the mixture is explained no better than "
        "by chance.",
        n=1,
        panel="infiltration",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_each_code_is_found_and_told_whole(hospital, case):
    hospital.leave_out(*MARKERS)
    case.plant(hospital)
    case.check([row for row in hospital.findings() if row["code"] != "unknown_column"])


@pytest.mark.parametrize("name", RAW)
def test_clean_measurements_have_no_finding_that_is_grave(hospital, name):
    hospital.leave_out(*MARKERS)
    hospital.add_measurements(name)
    assert hospital.findings("error", "warning") == []


def test_ensembl_identifiers_with_versions_are_read_without_a_finding(hospital):
    """Version 7 of every gene that has an identifier, as GENCODE writes it."""
    hospital.leave_out(*MARKERS)
    hospital.add_measurements("expression")
    by_symbol = hospital.read().table
    names = {
        symbol: next((name for name in others if str(name).startswith("ENSG")), None)
        for symbol, others in signature_sets()["genes"].items()
    }
    known = [name for name in names.values() if name]
    assert len(known) > 130
    versions = {symbol: f"{name}.7" for symbol, name in names.items() if name}
    hospital.change("expression", "gene", lambda gene: versions.get(gene, gene))

    assert hospital.findings("error", "warning") == []
    pd.testing.assert_frame_equal(hospital.read().table, by_symbol)
