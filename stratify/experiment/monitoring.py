"""A model in use: whether patients are still like those of training, and the risks still hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from stratify.cohort.reading import Cohort, require_usable
from stratify.cohort.subgroups import large_enough
from stratify.errors import BundleError
from stratify.experiment.promotion import LIMITS, off_limits
from stratify.experiment.scores import patients_to_score
from stratify.experiment.training import external_cohorts
from stratify.report.figures import METRICS, estimate
from stratify.scoring import ResistanceModel, load
from stratify.statistics.performance import Prediction, performance_table
from stratify.study import Study
from stratify.tables.findings import Findings
from stratify.tables.schema import load_schema
from stratify.tables.tabular import make_folder, write_table
from stratify.uncertainty.drift import Profile

__all__ = ["Monitoring", "monitor"]

OUTCOME_PANELS = {"outcomes", "visits", "lesions"}
CALIBRATION: dict[str, tuple[float, float] | None] = {
    "observed_expected": LIMITS.observed_expected,
    "calibration_slope": LIMITS.slope,
    "auroc": None,
    "brier": None,
}


@dataclass(frozen=True)
class Monitoring:
    """What a look at new patients has shown.

    Attributes
    ----------
    model : ResistanceModel
    study : Study
    drift : DataFrame
        As in the ``drift`` dictionary.
    findings : DataFrame
        Alerts with their codes, beside what was found in the data.
    n : dict of str to int
        Patients of each cohort.
    labelled : bool
        Whether outcomes have arrived.
    """

    model: ResistanceModel
    study: Study
    drift: pd.DataFrame
    findings: pd.DataFrame
    n: dict[str, int]
    labelled: bool


def monitor(
    bundle: str | Path,
    study_path: str | Path,
    out: str | Path,
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> Monitoring:
    """Compare new patients with those of training, and their outcomes, if any, with the risks."""
    model = load(bundle)
    if "profile" not in model.card:
        raise BundleError(
            f"{bundle} does not hold what its training patients were like; it was made by an "
            "earlier version. Train again."
        )
    profile = Profile.from_json(model.card["profile"])
    study = Study.load(study_path)
    labelled = any(
        OUTCOME_PANELS & set(table.panels) for source in study.cohorts for table in source.tables
    )
    cohort = _patients(model, study_path, progress, labelled=labelled)
    progress("comparing with the training patients")
    alerts = Findings()
    parts = []
    for name, rows in cohort.table.groupby("cohort", sort=True):
        table = rows.reset_index(drop=True)
        matrix = model.prepare(replace(cohort, table=table)).matrix
        risk = model.classifier.predict_proba(matrix)[:, 1]
        found = profile.compared(matrix, risk)
        if labelled:
            found = pd.concat([found, _outcomes(table, risk, str(name))], ignore_index=True)
        found.insert(0, "cohort", str(name))
        parts.append(found)
        _tell(found, str(name), alerts)
    drift = pd.concat(parts, ignore_index=True)[list(load_schema("drift").fields)]
    alerts.extend(cohort.findings)
    folder = make_folder(Path(out))
    write_table(drift, folder / "drift.csv")
    write_table(alerts.table(), folder / "findings.csv")
    sizes = {str(name): len(rows) for name, rows in cohort.table.groupby("cohort", sort=True)}
    return Monitoring(model, study, drift, alerts.table(), sizes, labelled)


def _patients(
    model: ResistanceModel, path: str | Path, progress: Callable[[str], None], *, labelled: bool
) -> Cohort:
    if labelled:
        return external_cohorts(model, path, progress)[1]
    progress("reading the cohorts")
    study = Study.load(path)
    cohort = patients_to_score(model, study)
    require_usable(cohort, f"The study {study.name}")
    return cohort


def _outcomes(table: pd.DataFrame, risk: object, name: str) -> pd.DataFrame:
    """Calibration and discrimination of those with a label; none where they are too few."""
    known = table["label"].notna().to_numpy()
    label = table.loc[known, "label"].to_numpy(dtype=float)
    if not large_enough(label):
        return pd.DataFrame()
    prediction = Prediction(pd.Series(risk)[known].to_numpy(dtype=float), probability=True)
    rows = performance_table(
        label, {"stratify": prediction}, cohort=name, split="external", resampled=False
    )
    rows = rows[rows["metric"].isin(CALIBRATION)].copy()
    rows["what"], rows["name"] = "outcome", rows["metric"]
    rows["alert"] = [
        "calibration_shift"
        if (limits := CALIBRATION[row["metric"]])
        and off_limits(row["value"], row["low"], row["high"], limits)
        else ""
        for row in rows.to_dict("records")
    ]
    return rows[["what", "name", "value", "low", "high", "n", "alert"]]


def _tell(drift: pd.DataFrame, cohort: str, alerts: Findings) -> None:
    for row in drift[drift["alert"] != ""].to_dict("records"):
        place: dict[str, Any] = {"cohort": cohort, "n": int(row["n"])}
        if row["what"] == "outcome":
            said = estimate(row["value"], row["low"], row["high"])
            alerts.add(row["alert"], f"{METRICS[row['name']][0]} {said}; near 1 is right.", **place)
        elif row["what"] in ("input", "score"):
            alerts.add(
                row["alert"],
                f"stability index {row['psi']:.2f} against the training patients; below 0.25 is "
                "expected.",
                panel=row["panel"],
                column=row["name"] if row["what"] == "input" else "",
                **place,
            )
        else:
            alerts.add(
                row["alert"],
                f"missing in {100 * row['value']:.0f} % of the patients, in training in "
                f"{100 * row['value_training']:.0f} %.",
                panel=row["panel"],
                column=row["name"] if row["what"] == "missing" else "",
                **place,
            )
