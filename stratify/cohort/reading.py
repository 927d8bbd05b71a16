"""A cohort: panels joined to one row a patient, eligibility, labels, split, features matrix.

Everything that decides *which patients* and *which columns* stands here. Counts always add up and
are told in the attrition table; the order of rows and columns in the files is irrelevant.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from stratify.biomarkers.derivation import DerivationRules
from stratify.biomarkers.pdl1 import check_clones
from stratify.biomarkers.signatures import signatures
from stratify.cohort.feature_plan import FeaturePlan
from stratify.cohort.joining import Match, check_matched, read_patients
from stratify.cohort.overlap import check_shared
from stratify.cohort.relations import check_comparators, check_relations
from stratify.cohort.training_scales import Matrix, ScaleInputs, TrainingScales
from stratify.endpoint import EndpointRule, label_outcomes
from stratify.errors import CohortError, FileError
from stratify.study import Split, Study
from stratify.tables.findings import Findings
from stratify.tables.plausibility import (
    check_assays,
    check_dates,
    check_features_time,
    check_usable,
)
from stratify.tables.schema import convert, field_named, load_schema, outcome_panels, visit_panels
from stratify.tables.sources import TableSource

__all__ = [
    "Cohort",
    "data_sha256",
    "read_cohort",
    "require_usable",
]

KEYS = ["patient_id", "cohort"]


@dataclass(frozen=True)
class Cohort:
    """One row a patient with everything known, and how it came about.

    Attributes
    ----------
    table : DataFrame of shape (n_patients, ...)
        ``patient_id``, ``cohort``, ``split`` (``train | test | external``), every mapped column in
        canonical names and units, and after labelling ``state, reason, label, endpoint_rule``.
        Sorted by cohort and patient.
    attrition : DataFrame
        As in the ``attrition`` dictionary.
    findings : Findings
        Everything noticed.
    assays : mapping of str to mapping of str to str
        Assay by column and cohort.
    files : mapping of str to str
        SHA-256 by file.
    endpoint : str or None
        Rule id, None where outcomes were not read.
    mixed_regimens : bool
        Whether the study takes other regimens than anti-PD-(L)1 monotherapy.
    responses : DataFrame or None
        Response at each visit by :func:`stratify.response.followup.assess_visits`, with ``cohort``;
        None where no cohort has visits or lesions.
    scales : TrainingScales
        What was learned on the training patients, or taken from a model.
    inputs : ScaleInputs
        From what columns on scales, and those that rest on them, are made again.
    """

    table: pd.DataFrame
    attrition: pd.DataFrame
    findings: Findings
    assays: Mapping[str, Mapping[str, str]]
    files: Mapping[str, str]
    endpoint: str | None
    mixed_regimens: bool
    responses: pd.DataFrame | None = None
    scales: TrainingScales = field(default_factory=TrainingScales)
    inputs: ScaleInputs = field(default_factory=ScaleInputs)

    def __len__(self) -> int:
        return len(self.table)

    def take(self, rows: pd.Series) -> Cohort:
        """Cohort of the rows marked True."""
        return replace(self, table=self.table[rows.to_numpy()].reset_index(drop=True))

    @property
    def evaluable(self) -> Cohort:
        """Patients with a label."""
        return self.take(self.table["label"].notna())

    @property
    def refitted_scales(self) -> ScaleInputs | None:
        """Learns the scales on some of the training patients; None where there are none."""
        return self.inputs if self.inputs.which else None

    def on_scales(self, scales: TrainingScales) -> Cohort:
        """Give the same patients on other scales, such as those of a model.

        Raises
        ------
        DataError
            If the cohort cannot be brought to them.
        """
        if scales == self.scales:
            return self
        bare = self.table.drop(columns=list(self.inputs.columns), errors="ignore")
        findings = Findings()
        table = scales.apply(bare, self.inputs.matrices, self.inputs.rules, findings)
        findings.raise_errors("The cohort on the model's scales")
        return replace(self, table=table, scales=scales)

    def of_split(self, *splits: str) -> Cohort:
        """Patients of one or more splits."""
        return self.take(self.table["split"].isin(splits))

    @property
    def labels(self) -> pd.DataFrame:
        """Label, reason and split of every eligible patient, as in the ``labels`` dictionary."""
        return self.table[[*load_schema("labels").fields, "split"]]


def read_cohort(
    study: Study,
    *,
    outcomes: bool = True,
    labels: bool = True,
    eligible_only: bool = True,
    plan: FeaturePlan | None = None,
) -> Cohort:
    """Read all cohorts of a study.

    Parameters
    ----------
    study : Study
        The checked study file.
    outcomes : bool
        Read outcomes and label patients; False for scoring new patients.
    labels : bool
        False to read outcomes without labelling, where only survival is known.
    eligible_only : bool
        Keep only patients of an eligible regimen.
    plan : FeaturePlan, optional
        Of the model that asks; by default features are made as the study says, and scales that
        it asks for (``training_scales``) are learned on its training patients.

    Returns
    -------
    Cohort
        With every finding collected; call ``cohort.findings.raise_errors`` before use.

    Raises
    ------
    FileError
        If files are missing or unreadable; all of them are named.
    """
    findings = Findings()
    tables, attrition = [], []
    assays: dict[str, dict[str, str]] = {}
    files: dict[str, str] = {}
    unreadable = []
    responses: list[pd.DataFrame] = []
    matches: list[Match] = []
    left_out = () if outcomes else outcome_panels()
    labels = labels and outcomes
    matrices: dict[str, Matrix] = {}
    already: list[tuple[TableSource, dict[str, pd.DataFrame]]] = []
    rules: dict[str, DerivationRules] = {}
    for source in study.cohorts:
        try:
            patients = read_patients(
                study, source, findings, left_out=left_out, plan=plan, already=already
            )
        except FileError as error:
            unreadable += str(error).split("\n")
            continue
        files |= patients.files
        rules[source.name] = patients.rules
        matches += patients.matches
        for name, assay in patients.assays.items():
            assays.setdefault(name, {})[source.name] = assay
        if patients.responses is not None:
            patients.responses.insert(1, "cohort", source.name)
            responses.append(patients.responses)
        if patients.matrix is not None:
            matrices[source.name] = patients.matrix
        joined = patients.table
        if joined is None:
            continue
        joined.insert(1, "cohort", source.name)
        joined["split"] = source.role
        check_dates(joined, source.name, findings)
        check_relations(joined, source.name, findings)
        steps = [("read", "", len(joined))]
        if eligible_only:
            joined = _eligible(joined, study, source.name, findings, steps)
        if outcomes and study.landmark_weeks is not None:
            joined = _at_risk(joined, study.landmark_weeks, steps)
        tables.append(joined)
        attrition.append((source.name, steps))
    if unreadable:
        raise FileError("\n".join(dict.fromkeys(unreadable)))
    check_matched(matches, findings)
    table = _stacked(tables)
    if labels:
        table = _labelled(table, study, findings)
        for name, steps in attrition:
            _evaluable_steps(table[table["cohort"] == name], steps)
        table = _split(table, study.split, findings)
    own = plan is None and bool(study.training_scales) and len(table) > 0
    scales = TrainingScales() if plan is None else plan.scales
    if own:
        scales = TrainingScales.fit(table, matrices, rules, study.training_scales, findings)
    before = set(table)
    if len(table):
        table = scales.apply(table, matrices, rules, findings)
    new = [str(name) for name in table if name not in before]
    for name_of_cohort, matrix in matrices.items():
        if matrix.settings.assay is not None:
            for name in set(new) & set(matrix.settings.signatures or signatures()):
                assays.setdefault(name, {})[name_of_cohort] = matrix.settings.assay
    check_comparators(table, study.references, findings)
    check_assays(assays, findings)
    check_clones(assays, findings)
    if study.mixed_regimens:
        findings.add(
            "mixed_regimens",
            f"eligible_regimens names {', '.join(study.eligible_regimens)}; anti-PD-(L)1 "
            "monotherapy alone is expected.",
            n=len(table),
        )
    check_features_time(study.features, findings, study.landmark_weeks)
    if labels:
        check_shared(table, findings)
        if not findings.has_errors:
            check_usable(table, findings)
    return Cohort(
        table=table,
        attrition=_attrition_table(attrition),
        findings=findings,
        assays=assays,
        files=files,
        endpoint=study.endpoint.name if labels else None,
        mixed_regimens=study.mixed_regimens,
        responses=pd.concat(responses, ignore_index=True) if responses else None,
        scales=scales,
        inputs=ScaleInputs(study.training_scales if own else [], new, matrices, rules),
    )


def _stacked(tables: list[pd.DataFrame]) -> pd.DataFrame:
    if not tables:
        return pd.DataFrame(columns=[*KEYS, "split"])
    columns = list(dict.fromkeys(column for table in tables for column in table.columns))
    # all-missing columns are typed first, so that stacking does not guess
    filled = [
        table.reindex(columns=columns).astype(
            {c: field_named(c).dtype for c in columns if c not in table.columns}
        )
        for table in tables
    ]
    table = pd.concat(filled, ignore_index=True)
    return table.sort_values(["cohort", "patient_id"], kind="stable", ignore_index=True)


def _eligible(
    joined: pd.DataFrame,
    study: Study,
    cohort: str,
    findings: Findings,
    steps: list[tuple[str, str, int]],
) -> pd.DataFrame:
    if "regimen" not in joined:
        findings.add(
            "missing_column",
            "regimen is not stated; map it in the clinical panel, or state one for all, for "
            "example `regimen: {value: anti_pd1_pdl1}`.",
            cohort=cohort,
            panel="clinical",
            column="regimen",
            n=1,
        )
        steps.append(("eligible_regimen", "", len(joined)))
        return joined
    eligible = joined["regimen"].isin(study.eligible_regimens)
    left = joined.loc[~eligible, "regimen"].fillna("not recorded").value_counts()
    for regimen, n in left.sort_index().items():
        steps.append(("eligible_regimen", f"regimen {regimen}", int(n)))
    steps.append(("eligible_regimen", "", int(eligible.sum())))
    unresolved = int((joined.loc[eligible, "regimen"] == "single_agent_ici").sum())
    if unresolved:
        findings.add(
            "regimen_unresolved",
            f"{unresolved} of {int(eligible.sum())} patients had one ICI whose class is not "
            "recorded.",
            cohort=cohort,
            panel="clinical",
            column="regimen",
            n=unresolved,
        )
    if not eligible.any():
        findings.add(
            "no_patient_left",
            f"none of {len(joined)} patients has an eligible regimen "
            f"({', '.join(study.eligible_regimens)}).",
            cohort=cohort,
            panel="clinical",
            column="regimen",
            n=len(joined),
        )
    return joined[eligible].reset_index(drop=True)


def _at_risk(
    joined: pd.DataFrame, landmark_weeks: float, steps: list[tuple[str, str, int]]
) -> pd.DataFrame:
    """Patients without an event and still followed at a landmark, which is their new time zero."""
    months = convert(landmark_weeks, "weeks", "pfs")
    empty = pd.Series(np.nan, index=joined.index)
    pfs, event = joined.get("pfs", empty), joined.get("pfs_event", empty)
    gone = {
        "censored before the landmark": (pfs <= months) & (event == 0),
        "event before the landmark": (pfs <= months) & (event == 1),
        "pfs not recorded": pfs.isna() | event.isna(),
    }
    kept = pd.Series(True, index=joined.index)
    for reason, rows in gone.items():
        if rows.any():
            steps.append(("landmark", reason, int(rows.sum())))
        kept &= ~rows
    steps.append(("landmark", "", int(kept.sum())))
    later = joined[kept].reset_index(drop=True)
    return later.assign(**{name: later[name] - months for name in ("pfs", "os") if name in later})


def _labelled(table: pd.DataFrame, study: Study, findings: Findings) -> pd.DataFrame:
    rule = study.endpoint
    _check_regimens(table, rule, findings)
    needed = list(rule.needs)
    if not needed and not set(rule.uses) & set(table.columns):
        needed = rule.uses[:1]
    not_assessed = {
        row["cohort"]
        for row in findings.rows
        if row["severity"] == "error" and row["panel"] in visit_panels()
    }
    for cohort, rows in table.groupby("cohort", sort=True):
        for name in needed if cohort not in not_assessed else ():  # it would follow from those
            if name not in table or rows[name].isna().all():
                findings.add(
                    "missing_column",
                    f"the endpoint {rule.name} needs {name}, which is not mapped or holds no "
                    "value.",
                    cohort=str(cohort),
                    panel="outcomes",
                    column=name,
                    n=1,
                )
    labels = label_outcomes(table, rule)
    for cohort, rows in labels.groupby(table["cohort"], sort=True):
        lost = int(rows["label"].isna().sum())
        if lost:
            findings.add(
                "endpoint_not_evaluable",
                f"{lost} of {len(rows)} patients have no label by {rule.name}.",
                cohort=str(cohort),
                panel="outcomes",
                n=lost,
            )
    return pd.concat([table, labels], axis=1)


def _check_regimens(table: pd.DataFrame, rule: EndpointRule, findings: Findings) -> None:
    """Tell of patients whose regimen the rule is not made for."""
    made_for = rule.regimens
    if made_for is None or "regimen" not in table:
        return
    for cohort, rows in table.groupby("cohort", sort=True):
        others = int((~rows["regimen"].isin(made_for)).sum())
        if others:
            findings.add(
                "endpoint_of_another_regimen",
                f"{rule.name} is made for {', '.join(made_for)}; {others} of {len(rows)} "
                "patients had another regimen.",
                cohort=str(cohort),
                panel="clinical",
                column="regimen",
                n=others,
            )


def _evaluable_steps(rows: pd.DataFrame, steps: list[tuple[str, str, int]]) -> None:
    lost = rows.loc[rows["label"].isna(), "reason"].value_counts()
    steps.extend(("label_evaluable", str(r), int(n)) for r, n in lost.sort_index().items())
    steps.append(("label_evaluable", "", int(rows["label"].notna().sum())))


def _attrition_table(attrition: list[tuple[str, list[tuple[str, str, int]]]]) -> pd.DataFrame:
    rows = []
    for cohort, steps in attrition:
        remaining = {step: n for step, reason, n in steps if not reason}
        rows += [(cohort, step, reason, n, remaining[step]) for step, reason, n in steps]
    return pd.DataFrame(rows, columns=list(load_schema("attrition").fields))


def _split(table: pd.DataFrame, split: Split, findings: Findings) -> pd.DataFrame:
    if split.by == "cohort" or table.empty:
        return table
    train = table["split"] == "train"
    if split.by == "random":
        rows = np.flatnonzero(train)  # the table is sorted, so files' row order is irrelevant
        picked = np.random.default_rng(split.seed).permutation(rows)
        test = pd.Series(table.index.isin(picked[: round(len(rows) * (split.test_fraction or 0))]))
    else:
        name = "site" if split.by == "site" else "start_year"
        empty = table.loc[train, name].isna() if name in table else train[train]
        if empty.any():
            findings.add(
                "missing_column",
                f"the split by {split.by} needs {name} for every training patient; "
                f"{int(empty.sum())} of {int(train.sum())} have none.",
                panel="clinical",
                column=name,
                n=int(empty.sum()),
            )
            return table
        if split.by == "site":
            test = train & table[name].isin(split.test)
        else:
            test = train & (table[name] >= (split.test_from or 0))
    _check_sides(table, test, split, findings)
    return table.assign(split=table["split"].mask(test, "test"))


def _check_sides(table: pd.DataFrame, test: pd.Series, split: Split, findings: Findings) -> None:
    train = table["split"] == "train"
    if not train.any():
        return
    nowhere = [site for site in split.test if not (table.loc[train, "site"] == site).any()]
    what = f"{int(test.sum())} of {int(train.sum())} training patients become test patients"
    if nowhere:
        what += f", none of them at {', '.join(nowhere)}"
    if nowhere or not test.any() or test[train].all():
        findings.add(
            "empty_split",
            f"by the split by {split.by}, {what}.",
            panel="clinical" if split.by in ("site", "year") else "",
            column={"site": "site", "year": "start_year"}.get(split.by, ""),
            n=int(test.sum()),
        )


def require_usable(cohort: Cohort, what: str) -> None:
    """Raise if the data have errors, or the cohort cannot serve."""
    unusable = {"single_class_outcome", "no_patient_left"}
    table = cohort.findings.table()
    errors = table[table["severity"] == "error"]
    if len(errors) and set(errors["code"]) <= unusable:
        row = errors.iloc[0]
        where = (
            f"{row['cohort']}: " if row["cohort"] and row["cohort"] not in row["message"] else ""
        )
        raise CohortError(f"{what} cannot be used. {where}{row['message']} {row['advice']}")
    cohort.findings.raise_errors(what)


def data_sha256(table: pd.DataFrame) -> str:
    """SHA-256 of a table's content, whatever the order of its rows and columns.

    Examples
    --------
    >>> a = pd.DataFrame({"x": [1, 2], "y": ["a", "b"]})
    >>> data_sha256(a) == data_sha256(a.iloc[::-1][["y", "x"]])
    True
    """
    columns = sorted(table.columns)
    rows = table[columns].sort_values(columns, kind="stable")
    text = rows.to_csv(index=False, float_format="%.17g", lineterminator="\n")
    return hashlib.sha256(text.encode()).hexdigest()
