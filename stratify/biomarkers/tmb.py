"""Tumour mutational burden: a table of mutations -> mutations per megabase; transforms.

Mutations are as in ``data_schemas/panels/mutations.yaml``. What an assay counts, and in how many
megabases, is stated by a :class:`stratify.tables.measurements.BurdenRule`. Burdens in tissue and in
blood are different columns; values of other assays are brought to one scale by
:mod:`stratify.biomarkers.tmb_scale` or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stratify.arrays import Floats
from stratify.biomarkers.derivation import Columns, DerivationFault, DerivationRules
from stratify.biomarkers.measurement import Measurement, RawTables
from stratify.biomarkers.tmb_scale import FEWEST_PATIENTS, WithinAssayScale
from stratify.biomarkers.variants import (
    DrawRows,
    absent_columns,
    add_variant_faults,
    add_variant_warnings,
    counted,
    distinct_counts,
    grouped,
)
from stratify.study import Study
from stratify.tables.findings import Findings
from stratify.tables.measurements import BurdenRule
from stratify.tables.rows import check_table, numbers_of
from stratify.tables.schema import field_named, load_schema
from stratify.tables.sources import CohortSource, TableSource

__all__ = [
    "TRANSFORMS",
    "TissueBurden",
    "Transform",
    "WithinPanel",
    "capped_tmb",
    "log_tmb",
    "mutation_findings",
    "tissue_burden",
]


def tissue_burden(mutations: pd.DataFrame, rule: BurdenRule) -> pd.DataFrame:
    """Count the eligible mutations of each patient per scored megabase.

    Parameters
    ----------
    mutations : DataFrame of shape (n_mutations, ...)
        As in the ``mutations`` dictionary.

    Returns
    -------
    DataFrame of shape (n_patients, 2)
        ``patient_id`` and ``tmb`` (mut/Mb) of the patients with at least one row, in the order of
        their first one; 0 where none of the rows counts.

    Notes
    -----
    Rows count where ``somatic`` and ``counted`` are not false, the consequence is eligible, and
    VAF and depth reach the rule's. A mutation in several rows, one for each transcript, counts
    once, and counts if one of its rows does.

    References
    ----------
    Merino 2020, 10.1136/jitc-2019-000147.

    Examples
    --------
    >>> mutations = pd.DataFrame({
    ...     "patient_id": ["a", "a", "a", "b"],
    ...     "consequence": ["missense", "frameshift", "synonymous", "synonymous"]})
    >>> rule = BurdenRule(scored_mb=0.8, consequences=["missense", "frameshift"])
    >>> tissue_burden(mutations, rule)
      patient_id  tmb
    0          a  2.5
    1          b  0.0
    """
    patient, firsts = grouped(mutations, ["patient_id"])
    counts = distinct_counts(mutations, patient, counted(mutations, rule), len(firsts))
    ids = mutations["patient_id"].to_numpy()[firsts]
    return pd.DataFrame({"patient_id": ids, "tmb": counts / rule.scored_mb})


def log_tmb(tmb: pd.Series) -> pd.Series:
    """Logarithm to base 2 of a burden and 1, so that 0 stays 0.

    Parameters
    ----------
    tmb : Series of shape (n_patients,)
        Burden in mut/Mb; the logarithm of a negative one is missing.

    Examples
    --------
    >>> log_tmb(pd.Series([0.0, 7.0, None])).tolist()
    [0.0, 3.0, nan]
    """
    burden = tmb.astype(float)
    return pd.Series(np.log2(burden.where(burden >= 0) + 1.0), index=tmb.index)


def capped_tmb(tmb: pd.Series) -> pd.Series:
    """Burden capped at the dictionary's upper end, 50 mut/Mb, above which more means little.

    Parameters
    ----------
    tmb : Series of shape (n_patients,)
        Burden in mut/Mb.

    References
    ----------
    Chang 2024, 10.1038/s43018-024-00772-7 (LORIS).

    Examples
    --------
    >>> capped_tmb(pd.Series([3.5, 310.0])).tolist()
    [3.5, 50.0]
    """
    low, high = field_named("tmb").cap or (0.0, np.inf)
    return tmb.clip(low, high)


def mutation_findings(
    mutations: pd.DataFrame, rule: BurdenRule, *, name: str = "mutations"
) -> Findings:
    """Find everything wrong or unusual in a table of mutations, named ``name`` in messages.

    Examples
    --------
    >>> mutations = pd.DataFrame({"patient_id": ["a"], "consequence": ["missense"], "vaf": [38.0]})
    >>> rule = BurdenRule(scored_mb=1.1, consequences=["missense"])
    >>> mutation_findings(mutations, rule).messages()[0]
    'mutations, row 1: vaf is read as a fraction but looks like percent (1 of 1 values exceed 1).'
    """
    check_table(mutations=mutations)
    found = Findings.of_table(mutations, name, "mutations")
    found.add_absent(absent_columns(mutations, rule))
    if found.rows:
        return found
    add_variant_faults(mutations, load_schema("mutations"), found)
    if "sample_id" in mutations:
        sample = mutations["sample_id"]
        several = sample.notna() & (
            sample.groupby(mutations["patient_id"], sort=False).transform("nunique") > 1
        )
        n = mutations.loc[several.to_numpy(), "patient_id"].nunique()
        text = "samples of patients who have several; one a patient is expected."
        found.add_rows("several_samples", "sample_id", several, text, n)
    if not found.rows:
        add_variant_warnings(mutations, rule, DrawRows(mutations), found)
    return found


class TissueBurden(Measurement):
    """Burden counted from mutations.

    Patients without a row are not measured, but 0 where ``tmb_sequenced`` is true.
    """

    name = "tissue burden"
    needs = ("mutations",)
    panel = "tmb"
    measured = "tmb"

    def rule(self, study: Study, cohort: CohortSource, table: TableSource) -> BurdenRule:
        """Rule of the table of mutations."""
        return table.burden or BurdenRule(scored_mb=1)

    def gives(self, rule: BurdenRule) -> list[str]:
        """Burden, and whether normal tissue was lacking, if the rule says it."""
        return ["tmb", "tmb_tumour_only"][: 1 if rule.tumour_only is None else 2]

    def faults(self, tables: RawTables, rule: BurdenRule) -> tuple[pd.DataFrame, Findings]:
        """Mutations as they are, see :func:`mutation_findings`."""
        file, mutations = tables["mutations"]
        return mutations, mutation_findings(mutations, rule, name=file)

    def derive(
        self, values: pd.DataFrame, rule: BurdenRule, patients: pd.DataFrame, findings: Findings
    ) -> pd.DataFrame:
        """See :func:`tissue_burden`."""
        burden = tissue_burden(values, rule).set_index("patient_id")["tmb"]
        sequenced = patients.loc[numbers_of(patients, "tmb_sequenced") == 1, "patient_id"]
        derived = burden.reindex(burden.index.union(sequenced), fill_value=0.0).to_frame()
        if rule.tumour_only is not None:
            derived["tmb_tumour_only"] = float(rule.tumour_only)
        return derived


@dataclass(frozen=True)
class Transform:
    """Another form of a burden: its logarithm, or capped.

    Examples
    --------
    >>> columns = {"tmb": np.array([7.0, 310.0])}
    >>> Transform("tmb_capped", "tmb", capped_tmb).derive(columns, DerivationRules())
    {'tmb_capped': array([ 7., 50.])}
    """

    name: str
    burden: str
    formula: Callable[[pd.Series], pd.Series]
    source: str = "burdens"
    uses: tuple[str, ...] = ()
    replaces: bool = False

    @property
    def needs(self) -> tuple[str, ...]:
        """The burden."""
        return (self.burden,)

    @property
    def gives(self) -> tuple[str, ...]:
        """The form."""
        return (self.name,)

    def derive(self, columns: Columns, rules: DerivationRules) -> Columns:
        """Transform the burden."""
        return {self.name: self.formula(pd.Series(columns[self.burden])).to_numpy(dtype=float)}

    def faults(self, columns: Columns, rules: DerivationRules) -> Iterable[DerivationFault]:
        """Nothing can be wrong."""
        return ()


@dataclass(frozen=True)
class WithinPanel:
    """Burden placed among the training patients of the same assay; the scale is learned.

    Examples
    --------
    >>> columns = {"tmb": np.array([10.0]), "tmb_assay": np.array(["exome"], dtype=object)}
    >>> rules = DerivationRules(tmb_scale=WithinAssayScale({}))
    >>> [fault.code for fault in WithinPanel().faults(columns, rules)]
    ['assay_not_in_training']
    """

    name = "tmb_within_panel"
    source: str = "burdens"
    needs = ("tmb",)
    uses: tuple[str, ...] = ("tmb_assay",)
    gives: tuple[str, ...] = ("tmb_within_panel",)
    replaces: bool = False

    def derive(self, columns: Columns, rules: DerivationRules) -> Columns:
        """Place the burden, if a scale was learned."""
        if rules.tmb_scale is None:
            return {}
        return {self.name: self._scores(columns, rules.tmb_scale, rules)}

    def faults(self, columns: Columns, rules: DerivationRules) -> Iterable[DerivationFault]:
        """Burdens by an assay that was not learned."""
        if rules.tmb_scale is None:
            return
        measured = ~np.isnan(columns["tmb"])
        n = int((measured & np.isnan(self._scores(columns, rules.tmb_scale, rules))).sum())
        if n:
            learned = ", ".join(rules.tmb_scale.assays) or "none"
            yield DerivationFault(
                "assay_not_in_training",
                self.name,
                n,
                f"{n} of {int(measured.sum())} patients with tmb were measured with an assay of "
                f"fewer than {FEWEST_PATIENTS} training patients, or none; learned are: {learned}.",
            )

    def _scores(self, columns: Columns, scale: WithinAssayScale, rules: DerivationRules) -> Floats:
        tmb = columns["tmb"]
        own = columns.get("tmb_assay", np.full(len(tmb), None, dtype=object))
        assay = pd.Series(own).fillna(rules.assays.get("tmb", np.nan))
        return scale.transform(pd.Series(tmb), assay).to_numpy(dtype=float)


TRANSFORMS = (
    Transform("tmb_log2", "tmb", log_tmb),
    Transform("tmb_capped", "tmb", capped_tmb),
    Transform("btmb_log2", "btmb", log_tmb),
)
