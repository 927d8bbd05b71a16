"""Each finding, from a defect planted in a clean study: the whole message, where, how many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from planted import CODES, MARKERS, Case
from test_measurement_codes import CASES as OF_MEASUREMENTS

from stratify.cohort.features import informative_features
from stratify.validation.diagnostics import check_training


def test_a_clean_study_has_no_findings(hospital):
    assert hospital.findings() == []


def _scaled(factor: float, decimals: int = 2) -> Callable[[str], str]:
    return lambda cell: f"{float(cell) * factor:.{decimals}f}"


def _log2(cell: str) -> str:
    import math

    return f"{math.log2(float(cell)):.3f}"


def _fill_in(h: Any) -> None:
    h.plant("clinical", "BMI", dict.fromkeys(range(2, 82), "24.7"))


def _with_scores(h: Any) -> None:
    table = h.tables["markers"]
    for name in ("OS_months", "age", "best response", "HALLMARK_INTERFERON_GAMMA_RESPONSE"):
        table[name] = table["CD8"].map(lambda cell: str(float(cell) / 100))
    scores = {"signature_*": {"column": "*", "assay": "RNA"}}
    h.source("markers")["panels"].setdefault("infiltration", {}).update(scores)


def _with_summaries(h: Any) -> None:
    table = h.tables["clinical"]
    rows = pd.DataFrame({"Patient": ["Median", "n = 180"]}, dtype=object)
    h.tables["clinical"] = pd.concat([table, rows], ignore_index=True)


def _swap(file: str, a: str, b: str) -> Callable[[Any], None]:
    def plant(h: Any) -> None:
        h.tables[file] = h.tables[file].rename(columns={a: b, b: a})

    return plant


def _progression_after_death(h: Any) -> None:
    """PFS and OS from events: the first patient dies before the progression."""
    table = h.tables["outcomes"]
    contact, n = table["OS"], len(table)
    table["Response"] = "SD"
    table["Progression"] = ["1.0" if i % 2 else "" for i in range(n)]
    table.loc[0, "Progression"] = contact.iloc[0]
    table["Death"] = [f"{float(contact.iloc[0]) / 2:.1f}", *[""] * (n - 1)]
    table["OS"] = [table["Death"].iloc[0], *contact.iloc[1:]]
    mapped = h.source("outcomes")["panels"]["outcomes"]
    for name in ("pfs", "pfs_event", "os", "os_event"):
        del mapped[name]
    events = {"progression": "Progression", "death": "Death", "last_contact": "OS"}
    for name, column in events.items():
        mapped[f"time_to_{name}"] = {"column": column, "unit": "months"}


def _response_from_survival(h: Any) -> None:
    """A response that is survival beyond twelve months."""
    table = h.tables["outcomes"]
    table["Response"] = (table["OS"].astype(float) > 12).map({True: "yes", False: "no"})
    mapped = h.source("outcomes")["panels"]["outcomes"]
    mapped["objective_response"] = {"column": "Response", "coding": {"yes": True, "no": False}}
    del mapped["best_response"]


def _cfdna_of_the_positive(h: Any) -> None:
    table = h.tables["markers"]
    table["cfDNA"] = ["12" if cell == "+" else "" for cell in table["ctDNA"]]
    table.loc[::2, "cfDNA"] = table.loc[::2, "cfDNA"].replace("12", "15")
    mapped = h.source("markers")["panels"]["ctdna"]
    mapped["cfdna_concentration"] = {"column": "cfDNA", "unit": "ng/mL"}


def _with_a_comparator(h: Any) -> None:
    h.tables["markers"]["SCORPIO"] = ["1.2", "-0.1", *(["0.4", "0.6"] * 79)]
    panels = h.source("markers")["panels"]
    panels["comparators"] = {"comparator_scorpio": "SCORPIO"}
    score = {"name": "scorpio", "column": "comparator_scorpio", "higher_is": "risk"}
    h.document["references"] = [score | {"kind": "probability"}]


def _repeated_patients(n: int) -> Callable[[Any], None]:
    """The first patients once more, under other identifiers."""

    def plant(h: Any) -> None:
        for file in ("clinical", "markers", "outcomes"):
            again = h.tables[file].iloc[:n]
            again = again.assign(Patient=[f"again-{i}" for i in range(n)])
            h.tables[file] = pd.concat([h.tables[file], again], ignore_index=True)

    return plant


def _shared_patients(h: Any) -> None:
    h.add_cohort("away", "external", seed=8)
    for file in ("clinical", "markers", "outcomes"):
        home, away = h.tables[file], h.tables[f"away_{file}"]
        columns = [c for c in away.columns if c != "Patient"]
        away.loc[3:8, columns] = home.loc[40:45, columns].to_numpy()


def _patients_of_another_export(h: Any) -> None:
    """Twelve patients with other markers and blood samples, their age in whole years."""
    h.add_cohort("away", "external", seed=8)
    for file, columns in (("clinical", ["Age", "Sex", "Tumour"]), ("outcomes", ["PFS", "OS"])):
        home, away = h.tables[file], h.tables[f"away_{file}"]
        away.loc[3:14, columns] = home.loc[40:51, columns].to_numpy()
    h.change("away_clinical", "Age", lambda cell: f"{float(cell):.0f}")


def _other_assay(h: Any) -> None:
    h.add_cohort("away", "external", seed=8)
    h.source("away_markers")["panels"]["tmb"]["tmb"]["assay"] = "exome"


def _visits(change: Callable[[Any], Any], lesions: bool = False) -> Callable[[Any], None]:
    """Plant a defect in a study with visits, or lesions, in place of best response and PFS."""

    def plant(h: Any) -> None:
        if lesions:
            h.add_lesions()
        else:
            h.add_visits()
        change(h)

    return plant


def _mapped(h: Any, **columns: Any) -> None:
    for name in columns:
        h.tables["visits"][name] = ""
    h.source("visits")["panels"]["visits"].update(columns)


def _count_new_lesions(h: Any) -> None:
    _mapped(h, n_new_lesions="n_new_lesions")
    h.plant("visits", "n_new_lesions", {3: "2"})


def _part_of_the_sum(h: Any) -> None:
    _mapped(h, target_non_nodal_sum={"column": "target_non_nodal_sum", "unit": "mm"})
    h.plant("visits", "target_non_nodal_sum", {3: "81"})


def _recorded_confirmation(h: Any) -> None:
    _mapped(h, recorded_response="recorded_response")
    h.plant("visits", "recorded_response", {3: "iUPD", 4: "iCPD", 7: "iCPD"})


def _record_responses(h: Any) -> None:
    h.tables["outcomes"].insert(1, "Response", ["PD", "PR"] * 79 + ["PD", "SD"])
    h.source("outcomes")["panels"]["outcomes"]["best_response"] = "Response"


def _record_progression(h: Any) -> None:
    events = {"PFS": "2.0", "Progressed": "1"}
    for name, value in events.items():
        h.tables["outcomes"].insert(1, name, [""] * 158 + ["", value])
    panel = h.source("outcomes")["panels"]["outcomes"]
    panel |= {
        "pfs": {"column": "PFS", "unit": "months"},
        "pfs_event": {"column": "Progressed", "coding": {"1": True, "0": False}},
    }


def _visit_dates(h: Any) -> None:
    first = h.tables["clinical"].set_index("Patient")["First dose"]
    days = h.tables["visits"]["Day"].astype(int)
    start = h.tables["visits"]["Patient"].map(first).astype("datetime64[s]")
    dates = (start + pd.to_timedelta(days, unit="D")).dt.strftime("%d.%m.%Y")
    h.tables["visits"]["Day"] = dates.astype(object)
    form = {"column": "Day", "unit": "date", "date_format": "%d.%m.%Y"}
    h.source("visits")["panels"]["visits"]["visit_day"] = form
    h.plant("clinical", "First dose", {3: ""})


def _empty_panel(h: Any) -> None:
    for column in ("CD8", "TIL", "Phenotype"):
        h.change("markers", column, "")


def _few_patients(h: Any) -> None:
    for file, table in h.tables.items():
        h.tables[file] = table[:60]


CASES = [
    Case(
        "missing_column",
        lambda h: h.column("albumin").update(column="Albumine"),
        "clinical.csv: no column 'Albumine' for albumin; near names are Albumin.",
        n=1,
        column="albumin",
        panel="clinical",
    ),
    Case(
        "missing_column",
        lambda h: h.source("clinical").update(patient_id="MRN"),
        "clinical.csv: no column 'MRN' for patient_id.",
        n=1,
        column="patient_id",
        also=("missing_column",),
        name="identifier",
    ),
    Case(
        "missing_column",
        lambda h: h.source("clinical").update(rows={"Clinic": "North"}),
        "clinical.csv: no column 'Clinic', which `rows` names.",
        n=1,
        column="Clinic",
        also=("missing_column",),
        name="rows",
    ),
    Case(
        "no_row_chosen",
        lambda h: (
            h.tables["markers"].insert(1, "Visit", "C3D1"),
            h.source("markers").update(rows={"Visit": ["C1D1", "SCR"]}),
        ),
        "markers.csv: none of 160 rows has 'C1D1' or 'SCR' in 'Visit'.",
        n=160,
        column="Visit",
    ),
    Case(
        "missing_column",
        lambda h: h.source("clinical")["panels"]["clinical"].pop("regimen"),
        "regimen is not stated; map it in the clinical panel, or state one for all, for example "
        "`regimen: {value: anti_pd1_pdl1}`.",
        n=1,
        column="regimen",
        panel="clinical",
        name="regimen",
    ),
    Case(
        "missing_column",
        lambda h: h.change("outcomes", "Progressed", ""),
        "the endpoint proxy_pfs6 needs pfs_event, which is not mapped or holds no value.",
        n=1,
        column="pfs_event",
        panel="outcomes",
        name="endpoint",
    ),
    Case(
        "missing_column",
        lambda h: (
            h.document.update(split={"by": "site", "test": ["West"]}),
            h.plant("clinical", "Centre", {4: "", 9: "NA"}),
        ),
        "the split by site needs site for every training patient; 2 of 160 have none.",
        n=2,
        column="site",
        panel="clinical",
        cohort="",
        name="split",
    ),
    Case(
        "unknown_column",
        lambda h: h.tables["markers"].insert(1, "KRAS", "wt"),
        "markers.csv: columns not mapped: KRAS.",
        n=1,
    ),
    Case(
        "missing_identifier",
        lambda h: h.plant("clinical", "Patient", {5: "", 8: "NA", 12: "-"}),
        "clinical.csv, lines 5, 8 and 12: no identifier in column 'Patient'; one row a patient is "
        "expected.",
        n=3,
        column="patient_id",
        also=("unmatched_patient", "unmatched_patient"),
    ),
    Case(
        "not_a_patient",
        _with_summaries,
        "clinical.csv, lines 162 and 163: rows that are no patients by column 'Patient' "
        "(summaries, footnotes).",
        n=2,
        column="patient_id",
    ),
    Case(
        "name_not_a_feature",
        _with_scores,
        "markers.csv: columns that `*` does not take as features, by their names outcomes or other "
        "columns: OS_months, age, best response.",
        n=3,
    ),
    Case(
        "post_baseline_value",
        lambda h: (
            h.tables["markers"].insert(1, "PFS_Months", h.tables["markers"]["TMB"]),
            h.column("tmb").update(column="PFS_Months"),
        ),
        "markers.csv: tmb is read from column 'PFS_Months', by its name an outcome.",
        n=160,
        column="tmb",
        panel="tmb",
        name="outcome by name",
    ),
    Case(
        "duplicate_patient",
        lambda h: h.plant("outcomes", "Patient", {7: "7-020", 30: " 7-020 "}),
        "outcomes.csv, lines 7, 21 and 30: identifiers that stand more than once in column "
        "'Patient'; one row a patient is expected.",
        n=3,
        column="patient_id",
    ),
    Case(
        "unmatched_patient",
        lambda h: h.plant("outcomes", "Patient", {3: "X-1", 4: "X-2"}),
        "outcomes.csv: 2 of 160 patients are not in the cohort's first table.",
        n=2,
        column="patient_id",
    ),
    Case(
        "no_patient_matched",
        lambda h: (
            h.change("clinical", "Patient", lambda cell: cell.replace("7-0", "")),
            h.change("markers", "Patient", lambda cell: cell.replace("7-0", "").lstrip("0")),
            h.change("outcomes", "Patient", lambda cell: cell.replace("7-", "ID ")),
        ),
        "outcomes.csv: 160 of 160 patients are not in the cohort's first table.",
        n=160,
        column="patient_id",
        also=("missing_column", "missing_column", "unmatched_patient"),
    ),
    Case(
        "not_numeric",
        lambda h: h.plant("clinical", "BMI", {3: "obese", 7: "26 (est.)"}),
        "clinical.csv, lines 3 and 7: 2 rare levels where a number is expected.",
        n=2,
        column="bmi",
        panel="clinical",
        name="words",
    ),
    Case(
        "not_numeric",
        lambda h: h.plant("markers", "CD8", {3: "<1", 4: ">= 50", 9: "5-10", 10: "5-10"}),
        "markers.csv, lines 3, 4, 9 and 10: 2 censored values such as '<1' and 1 rare level where "
        "a number is expected.",
        n=4,
        column="cd8_density",
        panel="infiltration",
        name="censored",
    ),
    Case(
        "interval_values",
        lambda h: (
            h.plant("markers", "TPS", {3: "<1", 4: ">= 50 %", 9: "TPS 1-49%"}),
            h.plant("markers", "CPS", {3: "100", 4: "100", 9: "100"}),
        ),
        "markers.csv, lines 3, 4 and 9: pdl1_tps reported as intervals, such as '<1'; the middle "
        "is read, and the bounds are kept too.",
        n=3,
        column="pdl1_tps",
        panel="pdl1",
    ),
    Case(
        "not_numeric",
        lambda h: h.plant("clinical", "Albumin", dict.fromkeys(range(2, 9), "38 %")),
        "clinical.csv, lines 2, 3, 4, 5, 6 and 2 more: 7 values with percent signs where a number "
        "is expected.",
        n=7,
        column="albumin",
        panel="clinical",
        name="percent sign",
    ),
    Case(
        "not_numeric",
        lambda h: (
            h.source("clinical").update(decimal=","),
            [h.change("clinical", c, lambda v: v.replace(".", ",")) for c in ("Age", "Albumin")],
            [h.change("clinical", c, lambda v: v.replace(".", ",")) for c in ("BMI", "NLR")],
            h.plant("clinical", "BMI", {6: "27.5"}),
        ),
        "clinical.csv, line 6: 1 number with a decimal point where a number is expected.",
        n=1,
        column="bmi",
        panel="clinical",
        name="decimal point",
    ),
    Case(
        "decimal_comma",
        lambda h: h.change("clinical", "Albumin", lambda cell: cell.replace(".", ",")),
        "clinical.csv, lines 2, 3, 4, 5, 6 and 155 more: decimal commas in a column of numbers.",
        n=160,
        column="albumin",
        panel="clinical",
    ),
    Case(
        "grouped_digits",
        lambda h: h.plant("markers", "CD8", {3: "1,234", 4: "1 234.5", 5: "1\u202f234"}),
        "markers.csv, lines 3, 4 and 5: digits in groups of three, or three decimals behind "
        "another sign than '.'.",
        n=3,
        column="cd8_density",
        panel="infiltration",
    ),
    Case(
        "not_a_date",
        lambda h: h.change("clinical", "Blood date", lambda v: "/".join(v.split("-")[::-1])),
        "clinical.csv, lines 2, 3, 4, 5, 6 and 155 more: not a date in the format %Y-%m-%d, "
        "though a date in another.",
        n=160,
        column="blood_sample_date",
        panel="clinical",
        name="another format",
    ),
    Case(
        "not_a_date",
        lambda h: h.plant("clinical", "Blood date", {9: "44562", 10: "44563"}),
        "clinical.csv, lines 9 and 10: not a date in the format %Y-%m-%d, but a number of days as "
        "Excel counts them.",
        n=2,
        column="blood_sample_date",
        panel="clinical",
        name="Excel's number of days",
    ),
    Case(
        "not_a_date",
        lambda h: h.plant("clinical", "Blood date", {9: "spring 2021"}),
        "clinical.csv, line 9: not a date in the format %Y-%m-%d.",
        n=1,
        column="blood_sample_date",
        panel="clinical",
        name="words",
    ),
    Case(
        "mixed_date_formats",
        lambda h: h.plant("clinical", "Blood date", {9: "03.04.2021"}),
        "clinical.csv, line 9: not a date in the format %Y-%m-%d, though a date in another.",
        n=1,
        column="blood_sample_date",
        panel="clinical",
    ),
    Case(
        "outside_limits",
        lambda h: h.plant("clinical", "Albumin", {6: "390"}),
        "clinical.csv, line 6: albumin outside the possible 0.5 to 7 g/dL.",
        n=1,
        column="albumin",
        panel="clinical",
    ),
    Case(
        "unusual_value",
        lambda h: h.plant("markers", "TMB", {6: "310.5", 8: "121"}),
        "markers.csv, lines 6 and 8: tmb outside the usual 0 to 100 mut/Mb.",
        n=2,
        column="tmb",
        panel="tmb",
    ),
    Case(
        "not_integer",
        lambda h: h.plant("clinical", "ECOG", {6: "1.5"}),
        "clinical.csv, line 6: fractions where whole numbers are expected.",
        n=1,
        column="ecog",
        panel="clinical",
    ),
    Case(
        "unknown_category",
        lambda h: h.plant("clinical", "Sex", {**dict.fromkeys(range(2, 8), "W"), 9: "?"}),
        "clinical.csv, lines 2, 3, 4, 5, 6 and 2 more: 'W' (6 rows) and 1 rarer level of sex not "
        "known; levels are female, male, or by the coding 'F', 'M'.",
        n=7,
        column="sex",
        panel="clinical",
    ),
    Case(
        "unknown_category",
        lambda h: h.column("sex")["coding"].update(F="woman"),
        "clinical.csv: the coding of sex leads to 'woman'; levels are female, male.",
        n=1,
        column="sex",
        panel="clinical",
        name="in the coding",
    ),
    Case(
        "unknown_category",
        lambda h: h.plant("markers", "MSI", {5: "high"}),
        "markers.csv, line 5: 1 rare level of msi_high not known; levels are true, false, or by "
        "the coding '0', '1'.",
        n=1,
        column="msi_high",
        panel="tmb",
        name="yes or no",
    ),
    Case(
        "coding_absent",
        lambda h: (
            h.column("msi_high").pop("coding"),
            h.change("markers", "MSI", {"0": "false", "1": "MSI-H"}.get),
        ),
        "markers.csv: msi_high holds 'MSI-H' (16 rows) besides true and false, and no coding is "
        "stated.",
        n=16,
        column="msi_high",
        panel="tmb",
    ),
    Case(
        "coding_unused",
        lambda h: h.column("sex")["coding"].update({"f": "female", "w": "female"}),
        "clinical.csv: sex holds no 'f' and no 'w', which its coding names.",
        n=2,
        column="sex",
        panel="clinical",
    ),
    Case(
        "unit_absent",
        lambda h: h.column("albumin").pop("unit"),
        "clinical.csv: the unit of albumin is not stated; g/dL or g/L is expected.",
        n=160,
        column="albumin",
        panel="clinical",
    ),
    Case(
        "unit_absent",
        lambda h: h.column("tmb").update(unit="mutations"),
        "markers.csv: tmb is a number of mutations but `scored_mb` is not stated; the assay's "
        "scored megabases are expected.",
        n=160,
        column="tmb",
        panel="tmb",
        name="scored megabases",
    ),
    Case(
        "unit_unknown",
        lambda h: h.column("albumin").update(unit="umol/L"),
        "clinical.csv: albumin in 'umol/L'; accepted units are g/dL, g/L.",
        n=160,
        column="albumin",
        panel="clinical",
    ),
    Case(
        "assay_absent",
        lambda h: h.column("tmb").pop("assay"),
        "markers.csv: no assay is stated for tmb.",
        n=160,
        column="tmb",
        panel="tmb",
    ),
    Case(
        "assay_differs",
        _other_assay,
        "tmb by cohort: home: panel X, away: exome.",
        n=2,
        column="tmb",
        panel="tmb",
        cohort="",
    ),
    Case(
        "looks_like_another_unit",
        lambda h: h.column("albumin").update(unit="g/dL"),
        "clinical.csv: albumin is stated in g/dL but looks like g/L (the median lies outside 2.8 "
        "to 4.8 g/dL).",
        n=160,
        column="albumin",
        panel="clinical",
        name="g/L for g/dL",
    ),
    Case(
        "looks_like_another_unit",
        lambda h: h.change("markers", "TPS", _scaled(0.01)),
        "markers.csv: pdl1_tps is stated in percent but looks like fraction (no value exceeds 1 "
        "among 160).",
        n=160,
        column="pdl1_tps",
        panel="pdl1",
        name="fraction for percent",
    ),
    Case(
        "looks_like_another_unit",
        lambda h: h.change("markers", "FGA", _scaled(100, 1)),
        "markers.csv: fraction_genome_altered is stated in fraction but looks like percent (160 "
        "values exceed 1 among 160).",
        n=160,
        column="fraction_genome_altered",
        panel="tmb",
        name="percent for fraction",
    ),
    Case(
        "looks_like_another_unit",
        lambda h: [h.change("outcomes", c, _scaled(30.4375, 0)) for c in ("PFS", "OS")],
        "outcomes.csv: pfs is stated in months but looks like days (the median lies outside 1 to "
        "36 months).",
        n=160,
        column="pfs",
        panel="outcomes",
        also=("looks_like_another_unit",),
        name="days for months",
    ),
    Case(
        "looks_like_another_unit",
        lambda h: h.change("markers", "TMB", _scaled(34, 0)),
        "markers.csv: tmb is stated in mut/Mb but looks like mutations per exome or panel (the "
        "median lies outside 0.8 to 25 mut/Mb).",
        n=160,
        column="tmb",
        panel="tmb",
        name="counts for mut/Mb",
    ),
    Case(
        "looks_like_another_unit",
        lambda h: (
            h.change("markers", "TMB", _scaled(0.3)),
            h.change("markers", "TMB", _log2),
        ),
        "markers.csv: tmb is stated in mut/Mb but looks like its logarithm, ln or log2 or log10 or "
        "log1p (30 values of 160 are negative).",
        n=160,
        column="tmb",
        panel="tmb",
        name="logarithms",
    ),
    Case(
        "constant_column",
        lambda h: h.change("clinical", "NLR", "4.17"),
        "clinical.csv: one value for all 160 patients; measured values differ.",
        n=160,
        column="nlr",
        panel="clinical",
    ),
    Case(
        "imputed_looking",
        _fill_in,
        "clinical.csv: one value stands in 80 of 160 patients, as if filled in.",
        n=80,
        column="bmi",
        panel="clinical",
    ),
    Case(
        "panel_all_missing",
        _empty_panel,
        "markers.csv: no value in any of cd8_density, til_score, immune_phenotype.",
        n=160,
        panel="infiltration",
    ),
    Case(
        "cps_below_tps",
        lambda h: (
            h.plant("markers", "TPS", {4: "100", 11: "100"})
            or h.plant("markers", "CPS", {4: "20", 11: "0"})
        ),
        "markers.csv, lines 4 and 11: pdl1_cps is smaller than pdl1_tps in 2 of 160 patients.",
        n=2,
        column="pdl1_cps",
        panel="pdl1",
    ),
    Case(
        "pfs_longer_than_os",
        lambda h: h.plant("outcomes", "OS", {5: "0.5"}),
        "outcomes.csv, line 5: os is smaller than pfs in 1 of 160 patients.",
        n=1,
        column="os",
        panel="outcomes",
    ),
    Case(
        "pfs_os_swapped",
        _swap("outcomes", "PFS", "OS"),
        "outcomes.csv, lines 2, 3, 4, 5, 7 and 153 more: os is smaller than pfs in 158 of 160 "
        "patients.",
        n=158,
        column="os",
        panel="outcomes",
    ),
    Case(
        "outcome_before_first_dose",
        lambda h: h.plant("outcomes", "PFS", {5: "-0.4", 6: "-1"}),
        "outcomes.csv, lines 5 and 6: pfs is negative; time is counted from the first dose.",
        n=2,
        column="pfs",
        panel="outcomes",
    ),
    Case(
        "event_coding_suspicious",
        lambda h: h.column("pfs_event").update(coding={0: True, 1: False}),
        "outcomes.csv: by median pfs, events of pfs_event come 2.5 times later than censored "
        "follow-up ends.",
        n=160,
        column="pfs_event",
        panel="outcomes",
        also=("event_coding_suspicious", "events_swapped_suspected"),
    ),
    Case(
        "event_coding_suspicious",
        lambda h: h.column("pfs_event").update(coding={0: True, 1: False}),
        "outcomes.csv: 53 of 53 patients with progressive disease as best response have no event "
        "of PFS.",
        n=53,
        column="pfs_event",
        panel="outcomes",
        also=("event_coding_suspicious", "events_swapped_suspected"),
        name="against the response",
    ),
    Case(
        "date_outside_window",
        lambda h: h.plant("clinical", "Blood date", {5: "2017-03-04"}),
        "1 of 160 samples were taken more than 42 days before the first dose.",
        n=1,
        column="blood_sample_date",
        panel="clinical",
    ),
    Case(
        "post_baseline_value",
        lambda h: h.plant("markers", "Biopsy", {5: "04.03.2024", 6: "05.03.2024"}),
        "2 of 160 samples were taken after the first dose.",
        n=2,
        column="pdl1_sample_date",
        panel="pdl1",
    ),
    Case(
        "post_baseline_value",
        lambda h: h.document.update(features=["albumin", "ctdna_ratio_week_6"]),
        "ctdna_ratio_week_6 is known at week_6, after the first dose.",
        n=1,
        column="ctdna_ratio_week_6",
        panel="ctdna",
        cohort="",
        name="a feature",
    ),
    Case(
        "patients_shared",
        _shared_patients,
        "6 patients have the same age, bmi, albumin, nlr, pdl1_tps, pdl1_cps, tmb, "
        "fraction_genome_altered, cd8_density, ctdna_max_vaf, pfs, os as a training patient of "
        "home.",
        n=6,
        cohort="away",
    ),
    *(
        Case(
            code,
            _repeated_patients(n),
            f"{n} of {160 + n} patients of the split train have the same age, bmi, albumin, nlr, "
            "pdl1_tps, pdl1_cps, tmb, fraction_genome_altered, cd8_density and ctdna_max_vaf as "
            "another patient of it.",
            n=n,
            cohort="",
        )
        for code, n in (("patients_repeated", 1), ("patients_repeated_often", 20))
    ),
    Case(
        "patients_may_be_shared",
        _patients_of_another_export,
        "12 pairs of patients agree with training patients of home in sex, cancer_type, age, pfs "
        "and os, where 0.6 are expected by chance.",
        n=12,
        cohort="away",
    ),
    Case(
        "unusual_median",
        lambda h: h.change("clinical", "NLR", _scaled(4)),
        "clinical.csv: the median of nlr lies outside the usual 1.5 to 9 ratio.",
        n=160,
        column="nlr",
        panel="clinical",
    ),
    Case(
        "mixed_units_suspected",
        lambda h: (
            h.change("markers", "CD8", _scaled(1)),
            h.change("markers", "CD8", lambda cell: f"{100 + float(cell) % 10:.2f}"),
            h.plant("markers", "CD8", {line: f"{1 + line / 100:.2f}" for line in range(2, 42)}),
        ),
        "markers.csv: 40 of 160 values of cd8_density stand apart from the others by a factor "
        "between units.",
        n=40,
        column="cd8_density",
        panel="infiltration",
    ),
    Case(
        "missing_code_suspected",
        lambda h: h.plant("clinical", "Age", dict.fromkeys(range(2, 22), "99")),
        "clinical.csv: one number stands in 20 of 160 patients, far more often than others, and "
        "is one by which software writes missing.",
        n=20,
        column="age",
        panel="clinical",
    ),
    Case(
        "zeros_suspected",
        lambda h: h.plant("markers", "TMB", dict.fromkeys(range(2, 42), "0")),
        "markers.csv: 40 of 160 values of tmb are exactly 0, where up to 15 % are known.",
        n=40,
        column="tmb",
        panel="tmb",
    ),
    Case(
        "column_empty",
        lambda h: h.change("clinical", "Smoker", ""),
        "clinical.csv: the column 'Smoker' is empty.",
        n=160,
        column="ever_smoker",
        panel="clinical",
    ),
    Case(
        "merged_cells_suspected",
        lambda h: h.plant("clinical", "Smoker", dict.fromkeys(range(3, 162, 2), "")),
        "clinical.csv: 80 of 160 cells are empty, each below a filled one of its group.",
        n=80,
        column="ever_smoker",
        panel="clinical",
    ),
    Case(
        "outcome_contradicts_response",
        lambda h: h.change(
            "outcomes", "Response", lambda cell: {"PD": "CR", "CR": "PD"}.get(cell, cell)
        ),
        "23 of 111 patients with a response or with progression as best response have a PFS that "
        "contradicts it (PD beyond 6 months, or CR or PR with an event before 1.4).",
        n=23,
        column="best_response",
        panel="outcomes",
    ),
    Case(
        "response_made_from_survival",
        _response_from_survival,
        "every patient with a response has a longer os than every patient without "
        "(90 and 70 patients).",
        n=160,
        column="objective_response",
        panel="outcomes",
    ),
    Case(
        "events_swapped_suspected",
        _swap("outcomes", "Progressed", "Died"),
        "47 of 125 patients who died have no event of PFS, of which death is one.",
        n=47,
        column="pfs_event",
        panel="outcomes",
    ),
    Case(
        "os_equals_pfs",
        lambda h: h.tables["outcomes"].update({"OS": h.tables["outcomes"]["PFS"]}),
        "os equals pfs in all 160 patients.",
        n=160,
        column="os",
        panel="outcomes",
    ),
    Case(
        "survival_of_the_dead_alone",
        lambda h: h.tables["outcomes"].loc.__setitem__(
            (h.tables["outcomes"]["Died"] == "0", ["OS", "Died"]), ""
        ),
        "os is recorded for 96 patients, all of whom died, and for none of the 64 others.",
        n=96,
        column="os",
        panel="outcomes",
    ),
    Case(
        "event_never_varies",
        lambda h: h.change("outcomes", "Died", "1"),
        "os_event is the same for all 160 patients.",
        n=160,
        column="os_event",
        panel="outcomes",
    ),
    Case(
        "detection_contradicts_vaf",
        lambda h: h.change("markers", "ctDNA", lambda cell: {"+": "-", "-": "+"}[cell]),
        "160 of 160 patients have ctDNA detected with ctdna_max_vaf 0, or not detected with "
        "ctdna_max_vaf above 0.",
        n=160,
        column="ctdna_detected",
        panel="ctdna",
    ),
    Case(
        "not_measured_as_negative",
        _cfdna_of_the_positive,
        "45 of 45 patients without detected ctDNA have no measured amount, as if they had not "
        "been measured.",
        n=45,
        column="ctdna_detected",
        panel="ctdna",
    ),
    Case(
        "start_year_contradicts",
        lambda h: h.change("clinical", "Year", lambda cell: str(int(cell) + 1)),
        "160 of 160 patients have another start_year than first_dose_date.",
        n=160,
        column="start_year",
        panel="clinical",
    ),
    Case(
        "date_impossible",
        lambda h: h.plant("clinical", "Blood date", {5: "1970-01-01"}),
        "1 of 160 dates of blood_sample_date lie before 1980 or after today.",
        n=1,
        column="blood_sample_date",
        panel="clinical",
        also=("date_outside_window",),
    ),
    Case(
        "comparator_not_a_probability",
        _with_a_comparator,
        "scorpio: 2 of 160 values lie outside 0 to 1.",
        n=2,
        column="comparator_scorpio",
        panel="comparators",
        cohort="",
    ),
    Case(
        "regimen_unresolved",
        lambda h: (
            h.column("regimen")["coding"].update({"Drug B": "single_agent_ici"}),
            h.plant("clinical", "Drug", {2: "Drug B", 3: "Drug B"}),
            h.document.update(eligible_regimens=["anti_pd1_pdl1", "single_agent_ici"]),
        ),
        "2 of 160 patients had one ICI whose class is not recorded.",
        n=2,
        column="regimen",
        panel="clinical",
    ),
    Case(
        "mixed_regimens",
        lambda h: h.document.update(eligible_regimens=["anti_pd1_pdl1", "ici_chemotherapy"]),
        "eligible_regimens names anti_pd1_pdl1, ici_chemotherapy; anti-PD-(L)1 monotherapy alone "
        "is expected.",
        n=160,
        cohort="",
    ),
    Case(
        "endpoint_not_evaluable",
        lambda h: h.plant("outcomes", "PFS", {5: "", 8: "NA"}),
        "2 of 160 patients have no label by proxy_pfs6.",
        n=2,
        panel="outcomes",
    ),
    Case(
        "single_class_outcome",
        lambda h: (
            h.change("outcomes", "PFS", "9.5"),
            h.change("outcomes", "OS", "30.0"),
            h.change("outcomes", "Response", "SD"),
        ),
        "training data: all 160 evaluable patients have the label 0.",
        n=160,
        panel="outcomes",
        cohort="",
    ),
    Case(
        "too_few_events",
        _few_patients,
        "training data: 30 patients in the smaller class of 60; at least 50 are expected.",
        n=30,
        panel="outcomes",
        cohort="",
    ),
    Case(
        "no_patient_left",
        lambda h: h.column("regimen")["coding"].update({"Drug A": "chemotherapy"}),
        "none of 160 patients has an eligible regimen (anti_pd1_pdl1).",
        n=160,
        column="regimen",
        panel="clinical",
    ),
    Case(
        "no_patient_left",
        lambda h: (
            h.change("outcomes", "PFS", "1.2"),
            h.change("outcomes", "Response", "NE"),
            h.change("outcomes", "Progressed", "0"),
            h.change("outcomes", "Died", "0"),
            h.column("pfs_event").update(coding={0: False}),
            h.column("os_event").update(coding={0: False}),
        ),
        "training data: none of 160 eligible patients has a label.",
        n=160,
        panel="outcomes",
        cohort="",
        also=("event_never_varies", "event_never_varies"),
        name="without a label",
    ),
    Case(
        "empty_split",
        lambda h: h.document.update(split={"by": "site", "test": ["West", "East"]}),
        "by the split by site, 56 of 160 training patients become test patients, none of them at "
        "East.",
        n=56,
        column="site",
        panel="clinical",
        cohort="",
        name="unknown site",
    ),
    Case(
        "first_dose_date_missing",
        _visits(_visit_dates),
        "visits.csv, lines 5, 6, 7 and 8: a date of visit_day, but no date of the patient's first "
        "dose to count from.",
        n=4,
        column="visit_day",
        panel="visits",
        also=("visit_day_missing",),
    ),
    Case(
        "duplicate_visit",
        _visits(lambda h: h.plant("visits", "Day", {4: "42"})),
        "visits.csv, lines 3 and 4: the same patient and day more than once.",
        n=2,
        column="visit_day",
        panel="visits",
    ),
    Case(
        "duplicate_visit",
        _visits(lambda h: h.plant("lesions", "Lesion", {3: "T1"}), lesions=True),
        "lesions.csv, lines 2 and 3: the same lesion and day more than once.",
        n=2,
        column="lesion_id",
        panel="lesions",
        name="of a lesion",
    ),
    Case(
        "visit_day_missing",
        _visits(lambda h: h.plant("visits", "Day", {3: "", 9: "NA"})),
        "visits.csv, lines 3 and 9: no day of the assessment.",
        n=2,
        column="visit_day",
        panel="visits",
    ),
    Case(
        "lesion_not_at_baseline",
        _visits(lambda h: h.plant("lesions", "Lesion", {5: "T3"}), lesions=True),
        "lesions.csv, line 5: a target or non-target lesion that is not there at baseline.",
        n=1,
        column="lesion_id",
        panel="lesions",
    ),
    Case(
        "baseline_visit_missing",
        _visits(lambda h: h.plant("visits", "Day", {2: "3", 5: "9"})),
        "visits.csv, lines 2, 3, 4, 5, 6 and 2 more: no assessment at or before day 0 (patients: "
        "2, with one by day 7: 1).",
        n=2,
        column="visit_day",
        panel="visits",
    ),
    Case(
        "baseline_sum_missing",
        _visits(lambda h: h.plant("visits", "Sum", {2: ""})),
        "visits.csv, lines 3 and 4: a target sum, but none at the patient's baseline.",
        n=1,
        column="target_sum",
        panel="visits",
    ),
    Case(
        "looks_like_another_unit",
        _visits(lambda h: h.change("visits", "Sum", _scaled(0.1))),
        "visits.csv, lines 2, 5, 9, 12, 16 and 155 more: target_sum should be in mm but looks like "
        "cm: the median at baseline is below 15 mm, where 30 to 180 mm is usual.",
        n=160,
        column="target_sum",
        panel="visits",
        name="sums in cm",
    ),
    Case(
        "target_sum_contradiction",
        _visits(_part_of_the_sum),
        "visits.csv, line 3: target_non_nodal_sum exceeds target_sum, of which it is a part.",
        n=1,
        column="target_non_nodal_sum",
        panel="visits",
    ),
    Case(
        "new_lesion_contradiction",
        _visits(_count_new_lesions),
        "visits.csv, line 3: n_new_lesions above 0 where new_lesion is false; the lesions are "
        "counted.",
        n=1,
        column="new_lesion",
        panel="visits",
    ),
    Case(
        "impossible_confirmation",
        _visits(_recorded_confirmation),
        "visits.csv, line 7: iCPD without an iUPD at least 28 days before it in the same block.",
        n=1,
        column="recorded_response",
        panel="visits",
    ),
    Case(
        "visit_days_decreasing",
        _visits(lambda h: h.plant("visits", "Day", {3: "84", 4: "42"})),
        "visits.csv, line 4: an earlier day than in the patient's row before; the rows are sorted.",
        n=1,
        column="visit_day",
        panel="visits",
    ),
    Case(
        "pfs_longer_than_os",
        _visits(lambda h: h.plant("outcomes", "OS", {2: "2.7"})),
        "visits.csv, line 4: an assessment after death or last contact, so that PFS may exceed OS.",
        n=1,
        column="visit_day",
        panel="visits",
        name="visit after death",
    ),
    Case(
        "outcome_differs_from_visits",
        _visits(_record_responses),
        "visits.csv: best_response as derived differs from what is recorded in 1 of 160 patients; "
        "the derived one is used.",
        n=1,
        column="best_response",
        panel="outcomes",
    ),
    Case(
        "recorded_event_stands",
        _visits(_record_progression),
        "visits.csv: a recorded progression or death that the visits do not show stands in 1 of "
        "160 patients with visits, since non_target is not mapped or empty.",
        n=1,
        column="pfs_event",
        panel="outcomes",
    ),
    Case(
        "death_not_recorded",
        _visits(lambda h: h.source("outcomes")["panels"]["outcomes"].pop("os_event")),
        "visits.csv: PFS is derived from visits alone, since os and os_event are not mapped or "
        "hold no value; deaths would be events.",
        n=160,
        column="os_event",
        panel="outcomes",
    ),
    Case(
        "event_times_out_of_order",
        _progression_after_death,
        "1 of 1 deaths have a progression after them.",
        n=1,
        column="time_to_progression",
        panel="outcomes",
        also=("too_few_events",),
    ),
    Case(
        "endpoint_of_another_regimen",
        lambda h: h.document.update(
            endpoint={
                "name": "chemotherapy_draft",
                "based_on": "sitc_chemo_2023",
                "version": 1,
                "title": "Draft",
                "source": "protocol",
            }
        ),
        "chemotherapy_draft is made for ici_chemotherapy; 160 of 160 patients had another regimen.",
        n=160,
        column="regimen",
        panel="clinical",
    ),
    Case(
        "empty_split",
        lambda h: h.document.update(split={"by": "year", "test_from": 2030}),
        "by the split by year, 0 of 160 training patients become test patients.",
        n=0,
        column="start_year",
        panel="clinical",
        cohort="",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_each_code_is_found_and_told_whole(hospital, case):
    case.plant(hospital)
    if case.panel and case.cohort:  # the panels of other files take time and say nothing
        other = ("clinical",) if case.panel in MARKERS else MARKERS
        hospital.leave_out(*other)
    found = [
        row for row in hospital.findings() if row["code"] != "unknown_column" or not case.panel
    ]

    case.check(found)


def test_a_feature_of_one_value_is_told_and_left_out(hospital):
    hospital.change("markers", "MSI", "0")
    cohort = hospital.read()

    features = informative_features(cohort, ["albumin", "msi_high", "pack_years"])

    rows = cohort.findings.table().drop(columns="advice").tail(2).to_dict("records")
    assert features == ["albumin"]
    assert rows == [
        {
            "code": "uninformative_feature",
            "severity": "info",
            "cohort": "",
            "panel": panel,
            "column": column,
            "n": 160,
            "message": f"{what} of 160 training patients.",
        }
        for column, panel, what in (
            ("msi_high", "tmb", "one value for all"),
            ("pack_years", "clinical", "no value for any"),
        )
    ]


def _copied_outcome(h: Any) -> None:
    """A marker that holds the outcome: 1 where the disease progressed early."""
    early = [float(cell) < 6 for cell in h.tables["outcomes"]["PFS"]]
    h.tables["markers"]["MSI"] = ["1" if resistant else "0" for resistant in early]


def _measured_late(h: Any) -> None:
    """A marker that was measured in those alone who did not progress early."""
    early = [float(cell) < 6 for cell in h.tables["outcomes"]["PFS"]]
    density = h.tables["markers"]["CD8"]
    h.tables["markers"]["CD8"] = [
        "" if late else cell for late, cell in zip(early, density, strict=True)
    ]


def _another_centre(h: Any) -> None:
    h.add_cohort("away", seed=8)
    h.change("away_markers", "CD8", "")


IN_TRAINING = {
    "sample_size_small": (
        lambda h: None,
        # 15 % of 0.75; 7 / (0.1 * -ln(1 - 0.125)), 7 / (0.25 * -ln(1 - 0.15)), 39.2^2 / 4
        "160 training patients for 7 parameters. A regression needs 525 for a shrinkage of at "
        "least 0.9, 173 for an optimism of at most 0.05 in Nagelkerke's R2 and 385 for the "
        "overall risk to within 0.05, at a Cox–Snell R2 of 0.112 (15 % of its maximum).",
        160,
        "",
    ),
    "leak_suspected": (
        _copied_outcome,
        "msi_high alone predicts the label with a cross-validated AUROC of 1.000; above 0.95 "
        "is not expected of a biomarker.",
        160,
        "msi_high",
    ),
    "missingness_tells_label": (
        _measured_late,
        "which features are missing predicts the label with a cross-validated AUROC of 1.000; near "
        "0.5 is expected.",
        160,
        "",
    ),
    "missingness_tells_cohort": (
        _another_centre,
        "which features are missing predicts the cohort of 100 % of the patients; "
        "the largest cohort holds 50 %.",
        320,
        "",
    ),
}


@pytest.mark.parametrize("code", IN_TRAINING)
def test_each_code_of_training_is_found_and_told_whole(hospital, code):
    plant, message, n, column = IN_TRAINING[code]
    plant(hospital)
    home = hospital.read().of_split("train").evaluable
    before = len(home.findings.rows)
    check_training(home, ["age", "albumin", "tmb", "msi_high", "cd8_density", "immune_phenotype"])
    rows = [{k: v for k, v in row.items() if k != "advice"} for row in home.findings.rows[before:]]

    assert [row for row in rows if row["code"] == code] == [
        {
            "code": code,
            "severity": "warning",
            "cohort": "",
            "panel": "tmb" if column else "",
            "column": column,
            "n": n,
            "message": message,
        }
    ], rows


def test_a_clean_training_is_only_small(hospital):
    home = hospital.read().of_split("train").evaluable
    check_training(home, ["age", "albumin", "tmb", "msi_high", "cd8_density", "immune_phenotype"])
    assert home.findings.codes() == ["sample_size_small"]


# Told by `stratify.uncertainty.drift` of patients in use, and tested there.
IN_USE = {"input_shift", "missingness_shift", "score_shift", "calibration_shift"}

# Of the study file (test_study_check) and of derived biomarkers (test_biomarker_infiltration).
ELSEWHERE = {"uninformative_feature", "study_fault", "name_without_column", "filled_by_derivation"}


def test_every_code_has_its_case():
    shown = {case.code for case in [*CASES, *OF_MEASUREMENTS]}
    assert shown | {*ELSEWHERE, *IN_TRAINING, *IN_USE} == set(CODES)


@pytest.mark.parametrize("code", CODES)
def test_every_code_says_what_it_means_and_what_to_do(code):
    entry = CODES[code]
    assert entry["severity"] in ("error", "warning", "info")
    assert entry["meaning"].endswith(".")
    assert entry["advice"].rstrip("`").endswith(".")


def test_all_defects_are_told_in_one_pass(hospital):
    hospital.plant("clinical", "Patient", {40: ""})
    hospital.plant("clinical", "BMI", {3: "obese"})
    hospital.plant("clinical", "Sex", {3: "?"})
    hospital.plant("clinical", "ECOG", {4: "7"})
    hospital.plant("clinical", "Blood date", {5: "2029-01-01"})
    hospital.column("albumin").update(unit="g/dL")
    hospital.column("nlr").update(column="Ratio")
    hospital.column("tmb").pop("assay")
    hospital.plant("markers", "CPS", {6: "0"})
    hospital.plant("markers", "TPS", {6: "90"})
    hospital.plant("outcomes", "PFS", {7: "-3"})
    hospital.document["split"] = {"by": "year", "test_from": 2030}

    assert {(row["code"], row["column"]) for row in hospital.findings("error", "warning")} == {
        ("missing_identifier", "patient_id"),
        ("unmatched_patient", "patient_id"),
        ("not_numeric", "bmi"),
        ("unknown_category", "sex"),
        ("outside_limits", "ecog"),
        ("post_baseline_value", "blood_sample_date"),
        ("date_impossible", "blood_sample_date"),
        ("looks_like_another_unit", "albumin"),
        ("missing_column", "nlr"),
        ("assay_absent", "tmb"),
        ("cps_below_tps", "pdl1_cps"),
        ("outcome_before_first_dose", "pfs"),
        ("empty_split", "start_year"),
    }


def test_a_few_impossible_shares_are_cells_to_mend_and_not_another_unit(hospital):
    hospital.plant("markers", "FGA", {4: "1.2"})

    assert [row["message"] for row in hospital.findings()] == [
        "markers.csv, line 4: fraction_genome_altered outside the possible 0 to 1 fraction."
    ]


def test_one_negative_time_is_not_a_logarithm(hospital):
    hospital.change("outcomes", "PFS", lambda cell: f"{float(cell) / 2.5:.2f}")
    hospital.plant("outcomes", "PFS", {4: "-1.0"})

    assert [row["code"] for row in hospital.findings("error")] == ["outcome_before_first_dose"]


def test_a_confirmed_unit_is_believed(hospital):
    hospital.change("markers", "TPS", lambda cell: f"{float(cell) / 100:.2f}")
    hospital.column("pdl1_tps")["unit_confirmed"] = True

    assert hospital.findings("error") == []


def test_a_fraction_of_seven_percent_is_not_above_a_score_of_seven(hospital):
    hospital.change("markers", "TPS", lambda cell: f"{float(cell) / 100:.2f}")
    hospital.column("pdl1_tps")["unit"] = "fraction"
    hospital.tables["markers"]["CPS"] = [
        f"{round(float(cell) * 100)}" for cell in hospital.tables["markers"]["TPS"]
    ]

    assert hospital.findings() == []
