"""Broken exports by kind, each made from the clean study of ``tests/conftest.py``.

A defect is a change of the files or of the study, and the codes of which one must be found, with
the least severity that it must have. The columns differ in scale and kind, so that a check that
was made for one of them fails on the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

Change = Callable[[Any], None]
FILE = {"PFS": "outcomes", "OS": "outcomes", "Response": "outcomes", "Progressed": "outcomes",
        "Died": "outcomes"}  # fmt: skip
CLINICAL = ("Age", "Albumin", "NLR", "BMI", "ECOG", "Hb", "LDH", "Year", "Sex", "Tumour", "Smoker",
            "First dose", "Blood date", "Drug", "Centre")  # fmt: skip


@dataclass(frozen=True)
class Defect:
    """One broken export.

    Attributes
    ----------
    kind, name : str
    change : callable
        Plants it in a hospital study.
    codes : tuple of str
        Findings of which one must be there; empty where it must be read right, without an error.
    severity : {"error", "warning", "info"}
        Least severity that is asked for.
    """

    kind: str
    name: str
    change: Change
    codes: tuple[str, ...]
    severity: str = "error"
    seed: int = field(default=0)

    @property
    def id(self) -> str:
        return f"{self.kind}: {self.name}"


def add_columns(hospital: Any) -> None:
    """Give the clean study haemoglobin, LDH, cfDNA and tumour molecules too."""
    rng = np.random.default_rng(3)
    clinical, markers = hospital.tables["clinical"], hospital.tables["markers"]
    n = len(clinical)
    clinical["Hb"] = [f"{x:.1f}" for x in np.clip(rng.normal(12.5, 1.6, n), 7, 17)]
    clinical["LDH"] = [f"{x:.0f}" for x in np.clip(rng.lognormal(5.4, 0.4, n), 100, 1500)]
    markers["cfDNA"] = [f"{x:.2f}" for x in np.clip(rng.lognormal(2.3, 0.7, n), 1, 200)]
    vaf = markers["MSAF"].astype(float)
    molecules = np.where(vaf > 0, vaf * rng.lognormal(6, 0.6, n), 0)
    markers["MTM"] = [f"{x:.1f}" for x in molecules]
    panels = hospital.source("clinical")["panels"]["clinical"]
    panels["hemoglobin"] = {"column": "Hb", "unit": "g/dL"}
    panels["ldh"] = {"column": "LDH", "unit": "U/L"}
    ctdna = hospital.source("markers")["panels"]["ctdna"]
    ctdna["cfdna_concentration"] = {"column": "cfDNA", "unit": "ng/mL"}
    ctdna["ctdna_mtm_per_ml"] = {"column": "MTM", "unit": "MTM/mL", "assay": "plasma X"}


def file_of(column: str) -> str:
    return FILE.get(column) or ("clinical" if column in CLINICAL else "markers")


def scaled(column: str, factor: float, share: float = 1.0) -> Change:
    def change(h: Any) -> None:
        table = h.tables[file_of(column)]
        rows = np.arange(len(table)) % 3 == 0 if share < 1 else np.ones(len(table), dtype=bool)
        rows &= pd.to_numeric(table[column], errors="coerce").notna().to_numpy()
        values = table.loc[rows, column].astype(float) * factor
        table.loc[rows, column] = [f"{x:.6g}" for x in values]

    return change


def transformed(column: str, how: Callable[[float], float]) -> Change:
    def change(h: Any) -> None:
        h.change(file_of(column), column, lambda cell: f"{how(max(float(cell), 0.01)):.5g}")

    return change


def some_are(column: str, value: str, share: float = 0.15, seed: int = 0) -> Change:
    def change(h: Any) -> None:
        table = h.tables[file_of(column)]
        rows = np.random.default_rng(seed).random(len(table)) < share
        table.loc[rows, column] = value

    return change


def shuffled(column: str) -> Change:
    def change(h: Any) -> None:
        table = h.tables[file_of(column)]
        table[column] = np.random.default_rng(5).permutation(table[column].to_numpy())

    return change


UNITS = [
    ("TMB", 0.1), ("TMB", 1 / 30), ("TMB", 30), ("TMB", 38), ("TMB", 1000),
    ("Albumin", 0.1), ("Albumin", 10), ("Albumin", 14.5), ("Hb", 10), ("Hb", 0.6206), ("Hb", 0.1),
    ("LDH", 1 / 60), ("LDH", 0.01), ("LDH", 100), ("NLR", 0.01), ("NLR", 100), ("NLR", 10),
    ("TPS", 0.01), ("CPS", 0.01), ("FGA", 100), ("MSAF", 100), ("MSAF", 1000),
    ("CD8", 0.01), ("CD8", 1e-6), ("CD8", 100), ("cfDNA", 10), ("cfDNA", 1000), ("cfDNA", 0.001),
    ("MTM", 1000), ("MTM", 0.001), ("PFS", 30.4375), ("PFS", 4.348), ("PFS", 1 / 12),
    ("OS", 30.4375), ("OS", 4.348), ("OS", 1 / 12), ("Age", 12), ("Age", 365.25), ("BMI", 10),
    ("BMI", 0.01), ("FGA", 0.01), ("MSAF", 0.01), ("TPS", 10),
]  # fmt: skip
LOGS = {"ln": np.log, "log2": np.log2, "log10": np.log10, "log1p": np.log1p}
THIRD = [
    ("PFS", 30.4375), ("PFS", 1 / 12), ("OS", 30.4375), ("TPS", 0.01), ("CPS", 0.01),
    ("Albumin", 0.1), ("Albumin", 10), ("FGA", 100), ("MSAF", 100), ("TMB", 38), ("Age", 12),
    ("LDH", 1 / 60), ("cfDNA", 1000), ("CD8", 0.01), ("Hb", 10), ("Hb", 0.6206), ("NLR", 100),
    ("MTM", 1000), ("BMI", 10), ("TMB", 1 / 30),
]  # fmt: skip
CODES_OF_MISSING = [
    *((column, code)
      for column in ("Age", "Albumin", "NLR", "TMB", "CD8", "LDH", "Hb", "PFS", "OS", "BMI",
                     "cfDNA", "MTM")
      for code in ("888", "999", "777", "9999", "-9", "-99")),
    *((column, code) for column in ("TPS", "CPS", "ECOG", "FGA", "MSAF") for code in
      ("888", "999", "9999", "-9", "-1", "99")),
    ("Age", "99"), ("Albumin", "99"), ("NLR", "99"), ("TMB", "99"), ("BMI", "99"), ("Hb", "99"),
    ("TMB", "100"), ("TPS", "100"), ("cfDNA", "100"), ("PFS", "99"), ("OS", "99"), ("PFS", "100"),
    ("Age", "100"), ("ECOG", "9"), ("Year", "9999"),
    ("Year", "1900"),
]  # fmt: skip
UNIT = ("unusual_median", "looks_like_another_unit", "outside_limits", "unusual_value",
        "mixed_units_suspected", "pfs_os_swapped", "pfs_longer_than_os", "cps_below_tps",
        "outcome_contradicts_response")  # fmt: skip
MISSING = ("outside_limits", "missing_code_suspected", "imputed_looking", "not_integer",
           "pfs_longer_than_os", "unknown_category", "looks_like_another_unit", "pfs_os_swapped",
           "outcome_before_first_dose", "cps_below_tps")  # fmt: skip


def defects() -> Iterator[Defect]:
    """Every defect."""
    yield from _of_units()
    yield from _of_missing()
    yield from _of_order()
    yield from _of_identity()
    yield from _of_dates()
    yield from _of_tables()


def _of_units() -> Iterator[Defect]:
    for column, factor in UNITS:
        gross = max(factor, 1 / factor) >= 10
        yield Defect("unit", f"{column} x {factor:.4g}", scaled(column, factor), UNIT,
                     "error" if gross else "warning")  # fmt: skip
    for column in ("TMB", "NLR", "LDH", "CD8", "cfDNA", "MTM"):
        for name, how in LOGS.items():
            yield Defect("logarithm", f"{name} {column}", transformed(column, how), UNIT)
    for column, factor in THIRD:
        yield Defect(
            "a third in another unit",
            f"{column} x {factor:.4g}",
            scaled(column, factor, 1 / 3),
            UNIT,
            "error" if max(factor, 1 / factor) >= 10 else "warning",
        )


def _of_missing() -> Iterator[Defect]:
    for column, code in CODES_OF_MISSING:
        yield Defect("code of missing", f"{column} {code}", some_are(column, code), MISSING)
    for column in ("TMB", "TPS", "Albumin", "NLR", "ECOG", "CD8", "LDH", "Hb", "Age", "PFS", "OS",
                   "BMI", "cfDNA"):  # fmt: skip
        yield Defect("gaps filled by 0", column, some_are(column, "0", 0.35),
                     ("outside_limits", "imputed_looking", "missing_code_suspected",
                      "unusual_value", "zeros_suspected", "pfs_longer_than_os"))  # fmt: skip
    for column, value in (("TMB", "6.05"), ("Albumin", "39.0"), ("NLR", "3.67"), ("LDH", "221"),
                          ("CD8", "244.7"), ("Age", "64.0"), ("BMI", "26.0"), ("Hb", "12.5"),
                          ("FGA", "0.2400"), ("cfDNA", "9.97")):  # fmt: skip
        yield Defect("gaps filled by the median", column, some_are(column, value, 0.35),
                     ("imputed_looking",), "warning")  # fmt: skip
    for column in ("TMB", "Albumin", "NLR", "CD8", "Age", "LDH", "Hb", "FGA", "cfDNA", "TPS"):
        table = {"Age": "60", "TPS": "50"}.get(column, "0.5" if column == "FGA" else "41")
        yield Defect(
            "constant", column, some_are(column, table, 1.1), ("constant_column",), "warning"
        )


def _roll(file: str, columns: list[str] | None = None) -> Change:
    def change(h: Any) -> None:
        table = h.tables[file]
        for column in columns or [c for c in table if c != "Patient"]:
            table[column] = np.roll(table[column].to_numpy(), 1)

    return change


def _swap(a: str, b: str) -> Change:
    def change(h: Any) -> None:
        file = file_of(a)
        h.tables[file] = h.tables[file].rename(columns={a: b, b: a})

    return change


def _recode(column: str, coding: dict[str, str]) -> Change:
    return lambda h: h.change(file_of(column), column, lambda cell: coding.get(cell, cell))


def _of_order() -> Iterator[Defect]:
    relation = ("rows_shifted_suspected", "outcome_contradicts_response", "pfs_longer_than_os",
                "event_coding_suspicious", "pfs_os_swapped", "pairing_suspected")  # fmt: skip
    yield Defect("order", "response against PFS, one row down",
                 _roll("outcomes", ["Response"]), relation)  # fmt: skip
    yield Defect("order", "PFS against OS, one row down", _roll("outcomes", ["OS"]), relation)
    yield Defect("order", "response shuffled", shuffled("Response"), relation)
    yield Defect(
        "order", "TPS shuffled against CPS", shuffled("TPS"), ("cps_below_tps",), "warning"
    )
    yield Defect("order", "VAF shuffled against detection", shuffled("MSAF"),
                 ("detection_contradicts_vaf",))  # fmt: skip
    yield Defect("order", "start year shuffled", shuffled("Year"), ("start_year_contradicts",))
    yield Defect("swapped", "PFS and OS", _swap("PFS", "OS"), ("pfs_os_swapped",))
    yield Defect("swapped", "events of PFS and OS", _swap("Progressed", "Died"),
                 ("event_coding_suspicious", "events_swapped_suspected",
                  "outcome_contradicts_response"))  # fmt: skip
    yield Defect("swapped", "TPS and CPS", _swap("TPS", "CPS"), ("cps_below_tps",), "warning")
    yield Defect("swapped", "albumin and BMI", _swap("Albumin", "BMI"), UNIT, "warning")
    yield Defect("swapped", "age and BMI", _swap("Age", "BMI"), UNIT, "warning")
    yield Defect("swapped", "NLR and albumin", _swap("NLR", "Albumin"), UNIT)
    yield Defect("inverted", "event of PFS", _recode("Progressed", {"0": "1", "1": "0"}),
                 ("event_coding_suspicious", "outcome_contradicts_response",
                  "events_swapped_suspected"))  # fmt: skip
    yield Defect("inverted", "detection", _recode("ctDNA", {"+": "-", "-": "+"}),
                 ("detection_contradicts_vaf",))  # fmt: skip
    yield Defect("inverted", "best response",
                 _recode("Response", {"PD": "CR", "CR": "PD", "PR": "SD", "SD": "PR"}),
                 ("outcome_contradicts_response",))  # fmt: skip
    yield Defect("degenerate", "OS is PFS in all",
                 lambda h: h.tables["outcomes"].update({"OS": h.tables["outcomes"]["PFS"]}),
                 ("os_equals_pfs",))  # fmt: skip
    yield Defect("degenerate", "everyone progressed", some_are("Progressed", "1", 1.1),
                 ("event_never_varies",), "warning")  # fmt: skip
    yield Defect("degenerate", "everyone died", some_are("Died", "1", 1.1),
                 ("event_never_varies",), "warning")  # fmt: skip
    yield Defect("degenerate", "nobody died", some_are("Died", "0", 1.1),
                 ("event_never_varies",), "warning")  # fmt: skip
    yield Defect(
        "degenerate", "OS of the dead alone", _os_of_the_dead, ("survival_of_the_dead_alone",)
    )
    yield Defect("degenerate", "ctDNA not measured as not detected", _not_measured_as_negative,
                 ("not_measured_as_negative",))  # fmt: skip


def _os_of_the_dead(h: Any) -> None:
    table = h.tables["outcomes"]
    table.loc[table["Died"] == "0", ["OS", "Died"]] = ""


def _not_measured_as_negative(h: Any) -> None:
    table = h.tables["markers"]
    rows = np.arange(len(table)) % 2 == 0
    table.loc[rows, ["MSAF", "MTM", "cfDNA"]] = ""
    table.loc[rows, "ctDNA"] = "-"


def _again(rename: Callable[[str], str], n: int) -> Change:
    def change(h: Any) -> None:
        for file in ("clinical", "markers", "outcomes"):
            table = h.tables[file]
            again = table.iloc[:n].assign(Patient=[rename(x) for x in table["Patient"].iloc[:n]])
            h.tables[file] = pd.concat([table, again], ignore_index=True)

    return change


def _of_identity() -> Iterator[Defect]:
    twice = ("patients_repeated_often", "duplicate_patient")
    for name, rename in (
        ("other identifier", lambda x: f"new-{x[-3:]}"),
        ("without hyphen", lambda x: x.replace("-", "")),
        ("leading zero", lambda x: f"0{x}"),
    ):
        yield Defect("identity", f"{name}, 40 twice", _again(rename, 40), twice)
        yield Defect("identity", f"{name}, 10 twice", _again(rename, 10), twice)
    yield Defect("identity", "identifiers of markers shuffled",
                 lambda h: h.tables["markers"].update(
                     {"Patient": np.roll(h.tables["markers"]["Patient"], 1)}),
                 ("post_baseline_value",))  # fmt: skip
    yield Defect("identity", "half of the identifiers lost", _half_lost,
                 ("unmatched_patient",), "warning")  # fmt: skip


def _half_lost(h: Any) -> None:
    table = h.tables["markers"]
    table.loc[np.arange(len(table)) % 2 == 0, "Patient"] = "X" + table["Patient"]


def _dates(change: Callable[[pd.Series], pd.Series], column: str = "First dose") -> Change:
    def planted(h: Any) -> None:
        file = file_of(column)
        table = h.tables[file]
        form = "%d.%m.%Y" if column == "Biopsy" else "%Y-%m-%d"
        days = pd.to_datetime(table[column], format=form)
        table[column] = change(days)

    return planted


def _of_dates() -> Iterator[Defect]:
    iso = "%Y-%m-%d"
    codes = ("date_impossible", "not_a_date", "date_outside_window", "post_baseline_value",
             "constant_column", "start_year_contradicts")  # fmt: skip
    for column, form in (("First dose", iso), ("Blood date", iso), ("Biopsy", "%d.%m.%Y")):
        yield Defect("dates", f"{column} all 1900-01-01",
                     _dates(lambda d, f=form: pd.Series(pd.Timestamp("1900-01-01").strftime(f),
                                                        d.index), column), codes)  # fmt: skip
        yield Defect("dates", f"{column} in the future",
                     _dates(lambda d, f=form: (d + pd.DateOffset(years=40)).dt.strftime(f), column),
                     codes)  # fmt: skip
        yield Defect(
            "dates",
            f"{column} year 0201",
            _dates(lambda d, f=form: d.dt.strftime(f).str.replace("20", "02", n=1), column),
            codes,
        )
        yield Defect("dates", f"{column} a third ten years early",
                     _dates(lambda d, f=form: d.where(np.arange(len(d)) % 3 > 0,
                                                      d - pd.DateOffset(years=10)).dt.strftime(f),
                            column), codes,
                     "error" if column == "First dose" else "warning")  # fmt: skip
        yield Defect("dates", f"{column} a third ten years late",
                     _dates(lambda d, f=form: d.where(np.arange(len(d)) % 3 > 0,
                                                      d + pd.DateOffset(years=10)).dt.strftime(f),
                            column), codes)  # fmt: skip
    yield Defect("dates", "start year one off", _recode_year(1), ("start_year_contradicts",))
    yield Defect("dates", "start year 1970", some_are("Year", "1970", 1.1), codes)


def _recode_year(by: int) -> Change:
    return lambda h: h.change("clinical", "Year", lambda cell: str(int(cell) + by))


def _row(file: str, label: str, how: Callable[[pd.Series], str]) -> Change:
    def change(h: Any) -> None:
        table = h.tables[file]
        row = {c: label if c == "Patient" else how(table[c]) for c in table}
        h.tables[file] = pd.concat([table, pd.DataFrame([row], dtype=object)], ignore_index=True)

    return change


def _mean(cells: pd.Series) -> str:
    numbers = pd.to_numeric(cells, errors="coerce")
    return f"{numbers.mean():.2f}" if numbers.notna().all() else ""


def _below(file: str, text: str) -> Change:
    return _row(file, text, lambda cells: "")


def _twice(file: str) -> Change:
    """Rows of five patients once more, with another value in the last column."""

    def change(h: Any) -> None:
        table = h.tables[file]
        again = table.iloc[:5].copy()
        again[table.columns[-1]] = table[table.columns[-1]].iloc[5:10].to_numpy()
        h.tables[file] = pd.concat([table, again], ignore_index=True)

    return change


def _merged(column: str) -> Change:
    """Cells that were merged over two rows: the value stands in the first alone."""

    def change(h: Any) -> None:
        table = h.tables[file_of(column)]
        table.loc[np.arange(len(table)) % 2 == 1, column] = ""

    return change


def _of_tables() -> Iterator[Defect]:
    summary = ("not_a_patient",)
    for file in ("clinical", "markers", "outcomes"):
        for label in ("Total", "Mean", "Median (range)", "n = 160", "Summe", "Mittelwert"):
            yield Defect(
                "table", f"row {label} in {file}", _row(file, label, _mean), summary, "warning"
            )
        for text in (
            "* measured twice",
            "Source: hospital registry, 2023",
            "Legend: ECOG 0-4",
            "Abbreviations: PFS, see methods",
            "Continued",
            "** after rebiopsy",
        ):
            yield Defect("table", f"footnote {text[:8]} in {file}", _below(file, text), summary,
                         "warning")  # fmt: skip
    for column in ("Albumin", "TMB", "CD8", "LDH", "Age", "NLR", "BMI", "Hb", "cfDNA", "PFS", "OS"):
        yield Defect("table", f"{column} wholly empty", some_are(column, "", 1.1),
                     ("column_empty",), "info")  # fmt: skip
        yield Defect("table", f"{column} with formulas without results",
                     some_are(column, "=B2/C2", 0.3), ("not_numeric",))  # fmt: skip
        yield Defect("table", f"{column} with European thousands",
                     transformed_text(column, lambda x: f"{x:,.2f}".replace(",", "_").replace(
                         ".", ",").replace("_", ".")),
                     ("decimal_comma", "grouped_digits", "not_numeric"))  # fmt: skip
        yield Defect(
            "table", f"{column} in words", some_are(column, "normal", 0.2), ("not_numeric",)
        )
        yield Defect("table", f"{column} #DIV/0!", some_are(column, "#DIV/0!", 0.1),
                     ("not_numeric", "not_measured"))  # fmt: skip
    for column in ("Albumin", "TMB", "CD8", "LDH", "Age", "NLR", "BMI", "Hb", "cfDNA", "PFS", "OS",
                   "MSAF"):  # fmt: skip
        for name, text in (("with a unit behind", "12 units"), ("#REF!", "#REF!"),
                           ("two points", "1.2.3"), ("a range", "10 to 20")):  # fmt: skip
            yield Defect("table", f"{column} {name}", some_are(column, text, 0.2),
                         ("not_numeric", "unread_interval"))  # fmt: skip
    for column in ("First dose", "Blood date", "Biopsy"):
        for text in ("unknown date", "31.02.2020", "2020", "43831"):
            yield Defect("dates", f"{column} {text}", some_are(column, text, 0.2),
                         ("not_a_date", "mixed_date_formats"))  # fmt: skip
    for file in ("clinical", "markers", "outcomes"):
        yield Defect("table", f"rows of {file} twice, one changed", _twice(file),
                     ("duplicate_patient",))  # fmt: skip
    yield Defect("table", "a constant tumour type", some_are("Tumour", "nsclc", 1.1), ())
    for column in ("Sex", "Tumour", "Response", "ctDNA", "Progressed", "Died", "Smoker"):
        yield Defect("levels", f"{column} with an unknown word", some_are(column, "perhaps", 0.1),
                     ("unknown_category", "coding_unused", "report_not_read"))  # fmt: skip
    for column in ("Centre", "Tumour", "Smoker", "Sex"):
        yield Defect("levels", f"{column} merged over two rows", _merged(column),
                     ("merged_cells_suspected",), "warning")  # fmt: skip


def transformed_text(column: str, how: Callable[[float], str]) -> Change:
    return lambda h: h.change(file_of(column), column, lambda cell: how(float(cell) * 1.0))
