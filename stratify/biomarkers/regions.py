"""Regions of a tumour examined for immune cells -> one value a patient.

Regions are as in ``data_schemas/panels/regions.yaml``. Compartments stay apart: T cells in the
stroma around a tumour do not make it inflamed.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from stratify.biomarkers.measurement import Measurement, RawTables
from stratify.biomarkers.reported import measured_columns
from stratify.study import Study
from stratify.tables.findings import Findings
from stratify.tables.measurements import RegionRule
from stratify.tables.rows import add_number_faults, check_table, numbers_of
from stratify.tables.schema import field_named, load_schema
from stratify.tables.sources import CohortSource, TableSource

__all__ = ["TissueRegions", "aggregate_regions", "region_findings"]

# column: column of the regions, and the compartments that count (None: all rows)
VALUES: dict[str, tuple[str, tuple[str, ...] | None]] = {
    "cd8_density": ("cd8_density", ("tumour",)),
    "cd8_density_stroma": ("cd8_density", ("stroma",)),
    "cd8_density_margin": ("cd8_density", ("margin",)),
    "cd8_percent": ("cd8_percent", ("tumour",)),
    "stil_percent": ("stil_percent", None),
    "til_score": ("til_score", None),
}
SAME_SHARE = 0.05  # densities are printed with few digits


def aggregate_regions(regions: pd.DataFrame, rule: RegionRule) -> pd.DataFrame:
    """Aggregate regions to one row a patient.

    Parameters
    ----------
    regions : DataFrame of shape (n_rows, ...)
        As in the ``regions`` dictionary; every column but ``patient_id`` may be absent. Without
        fault (see :func:`region_findings`).

    Returns
    -------
    DataFrame of shape (n_patients, 8)
        By patient: the columns of the ``infiltration`` dictionary that follow from regions,
        densities in cells/mm2; missing where no region has a value, and ``immune_phenotype`` also
        where as many regions, or as much area, have one pattern as another.

    Examples
    --------
    >>> regions = pd.DataFrame({"patient_id": "a", "region_id": [1, 2], "area": [1.0, 3.0],
    ...     "cd8_density": [400.0, 0.0], "immune_phenotype": ["inflamed", "desert"]})
    >>> aggregate_regions(regions, RegionRule())[["cd8_density", "immune_phenotype", "n_regions"]]
                cd8_density immune_phenotype  n_regions
    patient_id
    a                 100.0           desert        2.0
    """
    table = regions.reset_index(drop=True)
    ids = table["patient_id"]
    area = pd.Series(numbers_of(table, "area"))
    density = numbers_of(table, "cd8_density")
    counted = numbers_of(table, "cd8_cells") / area.to_numpy()
    numbers = {source: numbers_of(table, source) for source, _ in VALUES.values()}
    numbers["cd8_density"] = np.where(np.isnan(density), counted, density)
    where = _compartments(table)
    patients = pd.Index(ids.unique(), name="patient_id")
    derived = pd.DataFrame(index=patients)
    for name, (source, compartments) in VALUES.items():
        rows = np.isfinite(numbers[source])
        if compartments is not None:
            rows &= where.isin(compartments).to_numpy()
        values = pd.Series(numbers[source])[rows]
        whole = field_named(name).type == "integer" and rule.aggregate in ("mean", "median")
        how = "lower" if whole else rule.aggregate
        derived[name] = _aggregated(values, ids[rows], area[rows], how).reindex(patients)
    derived["immune_phenotype"] = _phenotype(table, area).reindex(patients)
    if rule.inflamed_from is not None:
        by_density = _phenotype_by_density(derived, rule.inflamed_from)
        derived["immune_phenotype"] = derived["immune_phenotype"].fillna(by_density)
    regions_of = table["region_id"] if "region_id" in table else pd.Series(table.index)
    derived["n_regions"] = regions_of.groupby(ids).nunique().reindex(patients).astype(float)
    return derived


def _compartments(table: pd.DataFrame) -> pd.Series:
    if "compartment" not in table:
        return pd.Series("tumour", index=table.index, dtype=object)
    return table["compartment"].astype(object).where(table["compartment"].notna(), "tumour")


def _weights(area: pd.Series, ids: pd.Series) -> pd.Series:
    """Areas where all rows of the patient have one, else equal weights."""
    return area.where(area.notna().groupby(ids).transform("all"), 1.0)


def _aggregated(values: pd.Series, ids: pd.Series, area: pd.Series, how: str) -> pd.Series:
    if how == "mean":
        weight = _weights(area, ids)
        return (values * weight).groupby(ids).sum() / weight.groupby(ids).sum()
    grouped = values.groupby(ids)
    if how == "lower":
        return grouped.quantile(0.5, interpolation="lower")
    return grouped.agg(how)


def _phenotype(table: pd.DataFrame, area: pd.Series) -> pd.Series:
    """Pattern of most regions, by area where it is known; None where two are as frequent."""
    if "immune_phenotype" not in table:
        return pd.Series(dtype=object)
    rows = table["immune_phenotype"].notna()
    ids, patterns = table.loc[rows, "patient_id"], table.loc[rows, "immune_phenotype"]
    weight = _weights(area[rows], ids)
    known = field_named("immune_phenotype").enum
    shares = pd.DataFrame({p: weight.where(patterns == p, 0).groupby(ids).sum() for p in known})
    most = shares.max(axis=1)
    alone = np.isclose(shares, most.to_numpy()[:, None]).sum(axis=1) == 1
    return shares.idxmax(axis=1).astype(object).where(alone, None)


def _phenotype_by_density(derived: pd.DataFrame, inflamed_from: float) -> pd.Series:
    tumour = derived["cd8_density"]
    around = derived[["cd8_density_stroma", "cd8_density_margin"]].max(axis=1)
    known = tumour.notna() & ((tumour >= inflamed_from) | around.notna())
    patterns = np.select(
        [tumour >= inflamed_from, around >= inflamed_from], ["inflamed", "excluded"], "desert"
    )
    return pd.Series(patterns, index=derived.index, dtype=object).where(known, None)


def region_findings(regions: pd.DataFrame, *, name: str = "regions") -> Findings:
    """Find everything wrong or unusual in a table of regions, named ``name`` in messages.

    Examples
    --------
    >>> regions = pd.DataFrame({"patient_id": ["a", "a"], "region_id": 1, "cd8_density": 90.0})
    >>> region_findings(regions).messages()
    ['regions, rows 1 and 2: the same patient, region and compartment more than once.']
    """
    check_table(regions=regions)
    found = Findings.of_table(regions, name, "regions")
    found.add_absent([column for column in ("patient_id",) if column not in regions])
    if found.rows:
        return found
    ids = pd.Series(regions["patient_id"].to_numpy())
    found.add_rows("missing_identifier", "patient_id", ids.isna(), "no patient identifier.")
    add_number_faults(regions, load_schema("regions"), found)
    if "region_id" in regions:
        key = pd.DataFrame({"id": ids, "region": regions["region_id"].to_numpy()})
        key["compartment"] = _compartments(regions).to_numpy()
        twice = key.notna().all(axis=1) & key.duplicated(keep=False)
        text = "the same patient, region and compartment more than once."
        found.add_rows("duplicate_region", "region_id", twice, text)
    area, density = numbers_of(regions, "area"), numbers_of(regions, "cd8_density")
    with np.errstate(divide="ignore", invalid="ignore"):
        counted = numbers_of(regions, "cd8_cells") / area
    differs = np.isfinite(counted - density) & ~np.isclose(counted, density, rtol=SAME_SHARE)
    text = "cd8_density is not cd8_cells by area; the density is used."
    found.add_rows("density_contradiction", "cd8_density", differs, text)
    known = pd.Series(np.isfinite(area))
    some = ~known & known.groupby(ids).transform("any")
    text = "no area, which other regions of the patient have; all count alike."
    found.add_rows("region_area_missing", "area", some, text, ids[some].nunique())
    return found


class TissueRegions(Measurement):
    """Regions of slides."""

    name = "regions"
    needs = ("regions",)
    panel = "infiltration"

    def rule(self, study: Study, cohort: CohortSource, table: TableSource) -> RegionRule:
        """Rule of the study."""
        return study.region_rule

    def gives(self, rule: RegionRule) -> list[str]:
        """Columns that regions have values of."""
        return [*VALUES, "immune_phenotype", "n_regions"]

    def faults(self, tables: RawTables, rule: RegionRule) -> tuple[pd.DataFrame, Findings]:
        """Regions as they are, see :func:`region_findings`."""
        file, regions = tables["regions"]
        return regions, region_findings(regions, name=file)

    def derive(
        self, values: pd.DataFrame, rule: RegionRule, patients: pd.DataFrame, findings: Findings
    ) -> pd.DataFrame:
        """See :func:`aggregate_regions`."""
        return measured_columns(aggregate_regions(values, rule), patients)
