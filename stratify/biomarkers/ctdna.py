"""Circulating tumour DNA: variants and blood draws -> features of the ctdna panel.

Variants are as in ``data_schemas/panels/plasma_variants.yaml``, draws as in ``plasma_draws.yaml``;
a :class:`stratify.tables.measurements.PlasmaRule` says how they are read. A patient without a row
is not measured, never undetected, and tumour molecules per mL need a concentration of cell-free
DNA.
What happens on treatment stands in :mod:`stratify.biomarkers.ctdna_course`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats
from stratify.biomarkers.ctdna_course import (
    burden_of,
    chosen_draws,
    course_columns,
    course_features,
    days_of,
    draw_findings,
    visit_of_draws,
)
from stratify.biomarkers.measurement import Measurement, RawTables
from stratify.biomarkers.variants import (
    DrawRows,
    absent_columns,
    add_variant_faults,
    add_variant_warnings,
    counted,
)
from stratify.study import Study
from stratify.tables.documents import document
from stratify.tables.findings import Findings
from stratify.tables.measurements import PlasmaRule
from stratify.tables.rows import check_table, numbers_of
from stratify.tables.schema import load_schema
from stratify.tables.sources import CohortSource, TableSource

__all__ = [
    "PlasmaDna",
    "detection_limit",
    "draws_from_variants",
    "plasma_variant_findings",
    "quantified",
]

DRAW_KEYS = ("draw_day", "draw_visit")
TEXTS = (
    *("patient_id", "draw_visit", "gene", "chromosome", "reference_allele", "alternate_allele"),
    "consequence",
)
VALUES = ("ctdna_mean_vaf", "ctdna_max_vaf", "ctdna_tumour_fraction", "ctdna_mtm_per_ml")
BASELINE = (
    *("ctdna_detected", *VALUES, "cfdna_concentration", "cfdna_hge_per_ml", "ctdna_n_variants"),
    *("ctdna_chip_variants", "ctdna_depth", "ctdna_detection_limit", "btmb"),
)


def draws_from_variants(
    variants: pd.DataFrame, rule: PlasmaRule, of: DrawRows | None = None
) -> pd.DataFrame:
    """Sum a table of variants in plasma into a table of draws.

    Parameters
    ----------
    variants : DataFrame of shape (n_variants, ...)
        As in the ``plasma_variants`` dictionary; VAF as fractions.

    Returns
    -------
    DataFrame of shape (n_draws, ...)
        ``patient_id``, the day and visit of the draw as far as given, ``ctdna_n_variants``,
        ``ctdna_mean_vaf`` and ``ctdna_max_vaf`` (fractions; 0 where no row is tumour-derived,
        missing where all that are were left out by VAF or depth), and as far as known
        ``ctdna_depth`` (median), ``ctdna_chip_variants`` and ``btmb`` (mut/Mb). In the order of
        first rows, with their index.

    References
    ----------
    Gandara 2018, 10.1038/s41591-018-0134-3 (bTMB); Razavi 2019, 10.1038/s41591-019-0652-7
    (clonal haematopoiesis).

    Examples
    --------
    >>> variants = pd.DataFrame({
    ...     "patient_id": ["a", "a", "a", "b"], "gene": ["KRAS", "TP53", "DNMT3A", "DNMT3A"],
    ...     "vaf": [0.02, 0.04, 0.12, 0.05], "consequence": "missense"})
    >>> rule = PlasmaRule(drop_chip="genes",
    ...                   btmb={"scored_mb": 1.1, "consequences": ["missense"]})
    >>> draws = draws_from_variants(variants, rule)
    >>> draws[["patient_id", "ctdna_n_variants", "ctdna_mean_vaf", "ctdna_chip_variants"]]
      patient_id  ctdna_n_variants  ctdna_mean_vaf  ctdna_chip_variants
    0          a               2.0            0.03                  1.0
    3          b               0.0            0.00                  1.0
    >>> draws["btmb"].round(2).tolist()
    [1.82, 0.0]
    """
    of = of or DrawRows(variants)
    rows = _distinct_rows(variants, rule, of)
    n, place, vaf, tumour = len(of.firsts), rows["draw"], rows["vaf"], rows["tumour"]
    within = tumour & ~(rows["depth"] < rule.min_depth)
    if rule.vaf_below is not None:
        within &= ~(vaf >= rule.vaf_below)
    measured = within & np.isfinite(vaf)

    def count(flags: Flags) -> Floats:
        return np.bincount(place[flags], minlength=n).astype(float)

    draws = variants[of.names].iloc[of.firsts].copy()
    texts = draws.select_dtypes("category").columns
    draws[texts] = draws[texts].astype(object)
    unknown = (count(tumour) > 0) & (count(within) == 0)
    draws["ctdna_n_variants"] = np.where(unknown, np.nan, count(within & ~(vaf == 0)))
    if "vaf" in variants:
        n_measured = count(measured)
        unknown = (count(tumour) > 0) & (n_measured == 0)
        sums = np.bincount(place[measured], weights=vaf[measured], minlength=n)
        mean = sums / np.fmax(n_measured, 1.0)
        largest = np.zeros(n)
        np.maximum.at(largest, place[measured], vaf[measured])
        draws["ctdna_mean_vaf"] = np.where(unknown, np.nan, mean)
        draws["ctdna_max_vaf"] = np.where(unknown, np.nan, largest)
    if "depth" in variants:
        levels = pd.Categorical.from_codes(place, categories=pd.RangeIndex(n))  # not hashed
        depth = pd.Series(rows["depth"]).groupby(pd.Series(levels), observed=False).median()
        draws["ctdna_depth"] = depth.to_numpy()
    if {"in_white_cells", "gene"} & set(variants):
        draws["ctdna_chip_variants"] = count(rows["chip"])
    if rule.btmb is not None:
        draws["btmb"] = count(rows["counted"]) / rule.btmb.scored_mb
    return draws


def detection_limit(depth: pd.Series) -> pd.Series:
    """Smallest VAF of which at least one molecule is sampled with a probability of 95 %.

    Parameters
    ----------
    depth : Series of shape (n_draws,)
        Distinct molecules at a position; what the calling asks beyond one molecule is not in it.

    Returns
    -------
    Series of shape (n_draws,)
        VAF as a fraction, 1 - 0.05^(1 / depth), near 3 / depth; missing without a molecule.

    References
    ----------
    Hanley 1983, JAMA 249:1743 (the rule of three).

    Examples
    --------
    >>> detection_limit(pd.Series([1.0, 1000.0, 0.0])).round(5).tolist()
    [0.95, 0.00299, nan]
    """
    missed = float(document("ctdna")["detection"]["missed"])
    return 1.0 - missed ** (1.0 / depth.where(depth > 0))


def quantified(draws: pd.DataFrame) -> pd.DataFrame:
    """Add what follows from the values of a draw: molecules per mL, limit and detection.

    Parameters
    ----------
    draws : DataFrame of shape (n_draws, ...)
        As in the ``plasma_draws`` dictionary.

    Returns
    -------
    DataFrame of shape (n_draws, ...)
        With ``cfdna_hge_per_ml`` (concentration in ng/mL times 303), ``ctdna_mtm_per_ml`` where it
        is not reported (mean VAF times hGE/mL; missing without a concentration),
        ``ctdna_detection_limit`` where it is not stated (from the depth), ``ctdna_detected`` where
        it is not called (1 if any value is above 0, but a VAF below the stated limit is not) and
        ``half_limit``, half the limit of VAF.

    References
    ----------
    Bratman 2020, 10.1038/s43018-020-0096-5.

    Examples
    --------
    >>> draws = pd.DataFrame({"patient_id": ["a", "b"], "ctdna_mean_vaf": [0.02, 0.02],
    ...                       "cfdna_concentration": [10.0, None]})
    >>> quantified(draws)[["cfdna_hge_per_ml", "ctdna_mtm_per_ml", "ctdna_detected"]]
       cfdna_hge_per_ml  ctdna_mtm_per_ml  ctdna_detected
    0            3030.0              60.6             1.0
    1               NaN               NaN             1.0
    """
    table = draws.copy()
    values = {name: pd.Series(numbers_of(draws, name), draws.index) for name in VALUES}
    dna = pd.Series(numbers_of(draws, "cfdna_concentration"), draws.index)
    dna = dna.where(dna > 0)
    per_ng = float(document("ctdna")["haploid_genomes_per_ng"]["value"])
    table["cfdna_concentration"], table["cfdna_hge_per_ml"] = dna, dna * per_ng
    derived = values["ctdna_mean_vaf"] * table["cfdna_hge_per_ml"]
    values["ctdna_mtm_per_ml"] = values["ctdna_mtm_per_ml"].fillna(derived)
    table = table.assign(**values)
    stated = pd.Series(numbers_of(draws, "ctdna_detection_limit"), draws.index)
    depth = pd.Series(numbers_of(draws, "ctdna_depth"), draws.index)
    table["ctdna_detection_limit"] = stated.fillna(detection_limit(depth))
    largest = table[list(VALUES)].max(axis=1)
    seen = (largest > 0).astype(float).where(largest.notna())
    vaf = values["ctdna_max_vaf"].fillna(values["ctdna_mean_vaf"])
    seen = seen.mask(vaf < stated, 0.0)
    called = pd.Series(numbers_of(draws, "ctdna_detected"), draws.index)
    table["ctdna_detected"] = called.fillna(seen)
    return table


def plasma_variant_findings(
    variants: pd.DataFrame,
    rule: PlasmaRule,
    *,
    name: str = "plasma_variants",
    of: DrawRows | None = None,
) -> Findings:
    """Find everything wrong or unusual in a table of variants in plasma, but for days and visits.

    Examples
    --------
    >>> variants = pd.DataFrame({"patient_id": ["a", "b"], "vaf": [0.03, -0.01]})
    >>> plasma_variant_findings(variants, PlasmaRule()).messages()
    ['plasma_variants, row 2: vaf outside 0 to 1 fraction.']
    """
    check_table(variants=variants)
    found = Findings.of_table(variants, name, "plasma_variants")
    absent = [] if rule.btmb is None else absent_columns(variants, rule.btmb)
    needed = {
        "patient_id": "patient_id" not in absent,
        "in_white_cells": rule.drop_chip == "white_cells",
        "gene": rule.drop_chip == "genes",
        "vaf": rule.vaf_below is not None and "vaf" not in absent,
        "depth": rule.min_depth > 0 and "depth" not in absent,
    }
    absent += [column for column, need in needed.items() if need and column not in variants]
    found.add_absent(absent)
    if found.rows:
        return found
    add_variant_faults(variants, load_schema("plasma_variants"), found)
    if found.rows:
        return found
    add_variant_warnings(variants, rule.btmb, of or DrawRows(variants), found)
    _, dropped = _chip(variants, rule)
    how = "seen in matched white cells" if rule.drop_chip == "white_cells" else "by genes"
    text = f"variants left out as clonal haematopoiesis, {how}."
    found.add_rows("chip_dropped", "gene" if rule.drop_chip == "genes" else "", dropped, text)
    return found


class PlasmaDna(Measurement):
    """Circulating tumour DNA.

    Without any row a patient is not measured. A draw without variants is undetected only where
    ``draw_passed`` is true or values or the call of the assay say so. ``cfdna_concentration`` of
    the patients is that of the baseline draw, where the draws have none.
    """

    name = "ctDNA"
    needs = ("plasma_variants", "plasma_draws")
    panel = "ctdna"
    measured = "ctdna_detected"

    def rule(self, study: Study, cohort: CohortSource, table: TableSource) -> PlasmaRule:
        """Rule of the cohort."""
        return cohort.plasma

    def assay(self, rule: PlasmaRule, stated: Mapping[str, str]) -> str | None:
        """Assay of the first column that has one: there is one of plasma."""
        return next(iter(stated.values()), None)

    def gives(self, rule: PlasmaRule) -> list[str]:
        """Columns of the baseline draw, and of each week on treatment."""
        return [*BASELINE, *course_columns(rule)]

    def faults(self, tables: RawTables, rule: PlasmaRule) -> tuple[pd.DataFrame | None, Findings]:
        """One table of draws: those of variants and the others; None where there are faults."""
        found = Findings()
        draws: dict[str, pd.DataFrame] = {}
        if "plasma_variants" in tables:
            file, variants = tables["plasma_variants"]
            texts = {name: _levels(variants[name]) for name in TEXTS if name in variants}
            variants = variants.assign(**texts)  # each text is hashed once
            of = DrawRows(variants)
            found.extend(plasma_variant_findings(variants, rule, name=file, of=of))
            if not found.has_errors:
                draws["plasma_variants"] = draws_from_variants(variants, rule, of)
        if "plasma_draws" in tables:
            draws["plasma_draws"] = tables["plasma_draws"][1]
        for panel, table in draws.items():
            found.extend(draw_findings(table, rule, name=tables[panel][0], panel=panel))
        return None if found.has_errors else _merged(draws, rule), found

    def derive(
        self, values: pd.DataFrame, rule: PlasmaRule, patients: pd.DataFrame, findings: Findings
    ) -> pd.DataFrame:
        """Values of the baseline draw, and their change on treatment."""
        passed = numbers_of(values, "draw_passed") != 0
        draws = values[passed].reset_index(drop=True)
        if "cfdna_concentration" in patients and "cfdna_concentration" not in draws:
            dna = patients.set_index("patient_id")["cfdna_concentration"]
            at_baseline = visit_of_draws(draws, rule) == "baseline"
            draws["cfdna_concentration"] = draws["patient_id"].map(dna).where(at_baseline)
            n = int((draws["cfdna_concentration"] == 0).sum())
            if n:
                text = "patients with a concentration of cell-free DNA of 0; it is read as missing."
                findings.add("cfdna_zero", f"{n} {text}", column="cfdna_concentration", n=n)
        draws = quantified(draws)
        chosen = chosen_draws(draws, rule)
        derived = pd.DataFrame(index=pd.Index(draws["patient_id"].unique(), dtype=object))
        if "baseline" in chosen:
            first = chosen["baseline"].set_index("patient_id")
            for name in BASELINE:
                if name in first and first[name].notna().any():
                    derived[name] = first[name].reindex(derived.index)
        _add_course_findings(draws, chosen, rule, findings)
        return derived.join(course_features(draws, rule).set_index("patient_id"))


def _add_course_findings(
    draws: pd.DataFrame,
    chosen: Mapping[str, pd.DataFrame],
    rule: PlasmaRule,
    findings: Findings,
) -> None:
    """Add draws on treatment that nothing can be compared with."""
    weeks = {visit: rows for visit, rows in chosen.items() if visit != "baseline"}
    burden = burden_of(draws, rule)
    if weeks and burden.isna().all():
        findings.add(
            "missing_column",
            f"{findings.table_name}: {rule.burden} is to be followed on treatment, but neither it "
            "nor all it follows from is mapped (MTM/mL needs mean VAF and cfdna_concentration).",
            column=rule.burden,
            n=1,
        )
        return
    baseline = chosen.get("baseline", draws.iloc[:0])
    comparable = baseline.loc[burden[baseline.index] > 0, "patient_id"]
    for visit, rows in weeks.items():
        n = int((~rows["patient_id"].isin(comparable)).sum())
        if n:
            text = f"{n} of {len(rows)} patients with a draw of {visit} have undetected ctDNA at "
            findings.add(
                "ctdna_not_evaluable",
                f"{findings.table_name}: {text}baseline, or no measured baseline.",
                column=f"ctdna_ratio_{visit}",
                n=n,
            )


def _levels(column: pd.Series) -> pd.Series:
    """Strings as levels in the order of their first rows; quicker than `astype`, which sorts."""
    codes, levels = pd.factorize(column.to_numpy(dtype=object))
    kinds = pd.Categorical.from_codes(codes, categories=pd.Index(levels, dtype=object))
    return pd.Series(kinds, index=column.index)


def _chip(variants: pd.DataFrame, rule: PlasmaRule) -> tuple[Flags, Flags]:
    """Which variants are of clonal haematopoiesis as far as known, and which are left out."""
    white = numbers_of(variants, "in_white_cells") == 1
    genes = np.zeros(len(variants), dtype=bool)
    if "gene" in variants:
        genes = variants["gene"].isin(rule.chip_genes).to_numpy(dtype=bool)
    flagged = white if "in_white_cells" in variants else genes
    dropped = {"none": np.zeros_like(genes), "white_cells": white, "genes": white | genes}
    return flagged, dropped[rule.drop_chip]


def _distinct_rows(variants: pd.DataFrame, rule: PlasmaRule, of: DrawRows) -> dict[str, Any]:
    """Take one row a draw and variant: its numbers, and whether it counts for what."""
    vaf, somatic = numbers_of(variants, "vaf"), numbers_of(variants, "somatic") != 0
    flagged, dropped = _chip(variants, rule)
    there = somatic & ~(vaf == 0)
    eligible = np.zeros(len(variants), dtype=bool)
    if rule.btmb is not None:
        eligible = counted(variants, rule.btmb) & ~dropped & there
    rows = {
        "draw": of.draw,
        "vaf": vaf,
        "depth": numbers_of(variants, "depth"),
        "tumour": somatic & ~dropped,
        "chip": flagged & there,
        "counted": eligible,
    }
    if of.variant is None:
        return rows
    distinct = pd.DataFrame(rows).groupby(of.variant).max()
    return {name: distinct[name].to_numpy() for name in rows}


def _merged(found: Mapping[str, pd.DataFrame], rule: PlasmaRule) -> pd.DataFrame:
    """One table of draws, with what variants and draws say of each; recorded values go first."""
    draws, called = found.get("plasma_draws"), found.get("plasma_variants")
    if called is None or draws is None:
        return pd.concat([table for table in (called, draws) if table is not None])
    draws, called = (
        table.assign(draw_day=days_of(table)) if "draw_day" in table else table
        for table in (draws, called)
    )
    keys = [key for key in DRAW_KEYS if key in draws and key in called]
    if not keys:  # one of the tables has visits, the other days or nothing
        keys = ["draw_visit"]
        draws = draws.assign(draw_visit=visit_of_draws(draws, rule))
        called = called.assign(draw_visit=visit_of_draws(called, rule)).dropna(subset=keys)
    ids = ["patient_id", *keys]
    merged = draws.merge(called, on=ids, how="outer", suffixes=("", "_called"), indicator="source")
    nothing = (numbers_of(merged, "draw_passed") == 1) & (merged.pop("source") == "left_only")
    for name in called.columns.difference(ids):
        values = merged.pop(f"{name}_called") if name in draws else merged[name]
        if name not in ("ctdna_depth", *DRAW_KEYS):  # sequenced, and nothing found
            values = values.mask(nothing, 0.0)
        merged[name] = merged[name].fillna(values) if name in draws else values
    return merged
