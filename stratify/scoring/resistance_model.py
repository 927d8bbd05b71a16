"""A fitted model with everything needed to use it: patients made ready, scored and explained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from stratify.arrays import Floats, Strings
from stratify.biomarkers.derivation import DerivationRules
from stratify.cohort.feature_plan import FeaturePlan
from stratify.cohort.features import named_marks, panels_without_value
from stratify.cohort.reading import Cohort
from stratify.cohort.training_scales import TrainingScales
from stratify.errors import ArgumentError
from stratify.model.classifier import ResistanceClassifier
from stratify.model.columns import FeatureColumns, level_codes
from stratify.model.forest import without_extremes
from stratify.model.recalibration import Recalibration
from stratify.references import References
from stratify.scoring.manifest import as_json, sums_of, version_of, write_bundle
from stratify.scoring.measuring import measured_first, require_foreseeable
from stratify.scoring.prepared import KEYS, Prepared, prepared
from stratify.scoring.reasons import top_reasons
from stratify.statistics.intervals import normal_quantile
from stratify.study import MONOTHERAPY
from stratify.study.policy import Policy
from stratify.tables.findings import Findings
from stratify.tables.schema import load_schema
from stratify.treatment.decision_rules import require_landmark
from stratify.treatment.guarantee import RiskCuts, with_thresholds
from stratify.treatment.triage import triage
from stratify.uncertainty.risk_interval import Uncertainty
from stratify.uncertainty.training_distribution import TrainingDistribution

__all__ = ["FITTED", "PatientsLike", "ResistanceModel", "made_ready"]

PatientsLike: TypeAlias = Prepared | Cohort | pd.DataFrame | Mapping[str, Any]

FITTED = ("features_", "levels_", "complete_", "monotone_", "ranges_")
_RISKS = ("risk", "risk_low", "risk_high")


@dataclass(frozen=True)
class ResistanceModel:
    """A fitted classifier with everything needed to use and to judge it.

    Attributes
    ----------
    classifier : ResistanceClassifier
    references : References
        Comparators with what they learned on the same training patients.
    card : dict
        What the model is: study, endpoint rule, training cohorts, n, events, hashes, assays,
        regimens, limits of the risk groups, versions.
    policy : Policy or None
    uncertainty : Uncertainty or None
        None in bundles of an earlier version: the interval is the spread of the members alone,
        and there is no flag of applicability.
    version : str
        ``study-<first 8 digits of the bundle's hash>``.
    plan : FeaturePlan
        What it needs of a patient, and how its features are made of it; by default what the card
        of an earlier version says.
    """

    classifier: ResistanceClassifier
    references: References
    card: Mapping[str, Any]
    policy: Policy | None = None
    uncertainty: Uncertainty | None = None
    version: str = ""
    plan: FeaturePlan = field(default_factory=lambda: FeaturePlan(()))

    def __post_init__(self) -> None:
        if not self.plan.features:
            scales = TrainingScales.from_json(self.card.get("training_scales"))
            features = tuple(self.classifier.features_)
            plan = FeaturePlan(features, scales, landmark_weeks=self.landmark_weeks)
            object.__setattr__(self, "plan", plan)
        if self.policy is not None:
            markers = tuple(self.policy.markers(self.landmark_weeks))
            object.__setattr__(self, "plan", replace(self.plan, markers=markers))
        if not self.version:
            object.__setattr__(self, "version", version_of(self.card, sums_of(self._texts())))

    @property
    def landmark_weeks(self) -> float | None:
        """Weeks after the first dose at which the model is asked; None for a baseline model."""
        weeks: float | None = self.card.get("landmark_weeks")
        return weeks

    @property
    def inputs(self) -> list[str]:
        """Columns that it can use of a patient, all of them optional, the features first."""
        return list(dict.fromkeys([*self.plan.inputs, "regimen"]))

    def with_policy(self, policy: Policy, available: Iterable[str], where: str) -> ResistanceModel:
        """Return the same model with another policy.

        Parameters
        ----------
        policy : Policy
        available : iterable of str
            Columns that the patients have.
        where : str
            What has them, for the message: "the study our_trial".

        Raises
        ------
        ArgumentError
            If the model is of a landmark for which the policy has no rule, or the policy states
            errors and the bundle has no out-of-fold risks to find thresholds by, it is for another
            endpoint, or would measure what the model does not read.
        DataError
            If the policy names a marker that is not available.
        """
        require_landmark(policy, self.landmark_weeks)
        policy.require_known(available, where, self.landmark_weeks)
        policy.require_model(self.card["endpoint"], self.classifier.features_)
        require_foreseeable(policy, self.training_distribution)
        return replace(self, policy=with_thresholds(policy, self.risk_cuts, "the bundle"))

    @property
    def training_distribution(self) -> TrainingDistribution | None:
        """What the training patients looked like; None if the bundle does not keep it."""
        return None if self.uncertainty is None else self.uncertainty.training

    @property
    def risk_cuts(self) -> RiskCuts | None:
        """Out-of-fold risks of the training patients by which errors find their thresholds."""
        record = self.card.get("risk_cuts")
        return None if record is None else RiskCuts.from_json(record)

    def judged_by(self, held_out: RiskCuts) -> ResistanceModel:
        """Keep out-of-fold risks of the training patients, and find what the policy needs."""
        policy = self.policy and with_thresholds(self.policy, held_out, "the training")
        card = {**self.card, "risk_cuts": held_out.to_json()}
        return replace(self, card=card, policy=policy, version="")

    # ------------------------------------------------------------------ scores

    def prepare(
        self,
        source: PatientsLike,
        assays: Mapping[str, Mapping[str, str]] | None = None,
        *,
        rules: Mapping[str, DerivationRules] | None = None,
        findings: Findings | None = None,
    ) -> Prepared:
        """Make everything that the model asks of patients: the only way to its features.

        Parameters
        ----------
        source : Cohort, DataFrame of shape (n_patients, ...), mapping, or Prepared
            Patients with ``patient_id``, ``cohort`` and canonical columns in the units of the
            dictionaries; columns may be absent, more than needed, or in any order. What follows
            from others need not be there. A mapping of column to value is one patient.
        assays : mapping of str to mapping of str to str, optional
            Assay by column and cohort; those of a Cohort are known.
        rules : mapping of str to DerivationRules, optional
            By cohort, where a study file states some; those of a Cohort are known.
        findings : Findings, optional
            Collector of what is found; by default errors raise and the rest is not reported.

        Returns
        -------
        Prepared

        Raises
        ------
        DataError
            If values cannot be: text among numbers, levels that no dictionary has, values outside
            the limits. With `findings` these are collected, and read as missing.
        """
        if isinstance(source, Prepared):
            return source
        read_from_files = isinstance(source, Cohort)  # contradictions were reported then
        if isinstance(source, Cohort):
            assays = source.assays
            own = source.inputs.rules.items()
            rules = {name: self.plan.rules(each.assays, each.pdl1) for name, each in own}
            source = source.on_scales(self.plan.scales).table
        levels = self.classifier.levels_
        found = prepared(source, self.plan, levels, assays=assays, rules=rules, findings=findings)
        if findings is not None and not read_from_files:
            found.add_contradictions(findings)
        return found.require_sound(findings)

    def score_cohort(self, cohort: Cohort | pd.DataFrame) -> pd.DataFrame:
        """Score a cohort; as :meth:`score_table`."""
        return self.score_table(cohort)

    def score_table(
        self,
        table: Prepared | Cohort | pd.DataFrame,
        assays: Mapping[str, Mapping[str, str]] | None = None,
        *,
        top: int = 0,
    ) -> pd.DataFrame:
        """Risk, interval, group, recommendation and flags of each patient.

        Parameters
        ----------
        table, assays
            As for :meth:`prepare`.
        top : int
            Reasons to give, as :func:`stratify.scoring.reasons.top_reasons`.

        Returns
        -------
        DataFrame of shape (n_patients, 16 + 2 * top)
            As in the ``scores`` dictionary, patients in the order given and each without regard to
            the others; then the reasons.

        Raises
        ------
        DataError
            As for :meth:`prepare`.
        """
        patients = self.prepare(table, assays)
        found, contributions = self._risks(patients, explained=top > 0)
        risks = pd.DataFrame({name: found[name] for name in _RISKS}, index=patients.index)
        decisions = triage(
            risks,
            patients.table,
            self.policy,
            mixed_regimens=self.card["mixed_regimens"],
            flags=pd.Series(found["flags"], index=patients.index, dtype=object),
            assays=patients.assays,
            landmark_weeks=self.landmark_weeks,
        )
        if self.landmark_weeks is None and not self.card["mixed_regimens"]:
            decisions = measured_first(
                patients,
                decisions,
                self.policy,
                self.training_distribution,
                lambda policy, some: replace(self, policy=policy).score_table(
                    some, patients.assays
                ),
            )
        found |= {
            **{name: patients.values[name] for name in KEYS},
            **{str(name): decisions[name] for name in decisions},
            "model_version": self.version,
            "endpoint_rule": self.card["endpoint_rule"],
        }
        fields = load_schema("scores").fields
        scores = pd.DataFrame({name: found[name] for name in fields}, index=patients.index)
        if contributions is None:
            return scores
        reasons = top_reasons(self.classifier.features_, contributions, top)
        return pd.concat([scores, reasons.set_axis(scores.index)], axis=1)

    def score_patient(
        self, patient: Mapping[str, Any] | pd.DataFrame, *, top: int = 5
    ) -> dict[str, Any]:
        """Risk, interval and reasons of one patient, within milliseconds.

        Parameters
        ----------
        patient : mapping of str to value, or DataFrame of one row
            Canonical columns; absent ones are missing.
        top : int
            Reasons to give.

        Returns
        -------
        dict
            ``risk, risk_low, risk_high, risk_group, panels_missing, flags, model_version``,
            equal to those of :meth:`score_table`, and ``reasons``: pairs of feature and
            contribution in log-odds, the strongest first. For a recommendation see
            :meth:`score_table`.

        Raises
        ------
        ArgumentError
            If it is not one patient, or has none of the model's inputs.
        DataError
            If a value cannot be.
        """
        if isinstance(patient, pd.DataFrame):
            if len(patient) != 1:
                raise ArgumentError(f"patient has {len(patient)} rows; one is expected.")
            names, cells = patient.columns.to_numpy(object), patient.to_numpy(object)[0]
            patient = dict(zip(names, cells, strict=True))
        if not any(name in patient for name in self.plan.inputs):
            raise ArgumentError(
                f"patient has none of the model's inputs, which are {', '.join(self.plan.inputs)}."
            )
        found, explained = self._risks(self.prepare(patient), explained=True)
        assert explained is not None
        strongest = np.argsort(-np.abs(explained[0]), kind="stable")[:top]
        features = self.classifier.features_
        return {
            **{
                name: values[0].item() if values.dtype == np.float64 else str(values[0])
                for name, values in found.items()
            },
            "model_version": self.version,
            "reasons": [(features[j], float(explained[0][j])) for j in strongest],
        }

    def _risks(
        self, patients: Prepared, *, explained: bool
    ) -> tuple[dict[str, Any], Floats | None]:
        """All of a score that follows from the features, and the contributions."""
        classifier, columns = self.classifier, patients.columns
        encoded = classifier.readable(columns.encoded)
        contributions = None
        if explained:
            margins, contributions = classifier.ensemble_.explained(encoded)
        else:
            margins = classifier.ensemble_.margins(encoded)
        risk, low, high = self.risk_and_interval(columns, margins)
        missing = panels_without_value(columns.missing, classifier.features_)
        found = {
            **dict(zip(_RISKS, (risk, low, high), strict=True)),
            "risk_group": self.risk_groups(risk),
            "panels_missing": missing,
            "flags": self._flags(patients, missing),
        }
        return found, contributions

    def risk_and_interval(
        self, columns: FeatureColumns, margins: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Risk, and an interval of the members' spread and whatever else is known of the doubt."""
        from scipy.special import expit

        margin, half = self.margin_and_half(columns, margins)
        return expit(margin), expit(margin - half), expit(margin + half)

    def margin_and_half(self, columns: FeatureColumns, margins: Floats) -> tuple[Floats, Floats]:
        """Log-odds of the risk, and half the width of their interval; finite for finite values."""
        line = self.recalibration
        margin, spread = self.classifier.centre(margins), self.classifier.spread(margins)
        if self.uncertainty is None and line is None:
            return margin, spread
        original, slope = (
            (margin, 1.0) if line is None else (line.original(margin), line.slope.value)
        )
        variance = np.zeros(len(margin)) if line is None else line.variance(original)
        if self.uncertainty is not None:
            variance += slope**2 * self.uncertainty.variance(columns, original)
        quantile = normal_quantile(self.classifier.interval_level)
        return margin, np.sqrt(spread**2 + quantile**2 * variance)

    @property
    def recalibration(self) -> Recalibration | None:
        """The line fitted to a local cohort, if there is one."""
        record = self.card.get("recalibration")
        return None if record is None else Recalibration.from_json(record)

    def risk_groups(self, risk: Floats) -> Strings:
        """Tertile of the training patients' out-of-fold risks in which each risk lies."""
        cuts = self.card["risk_group_cuts"]
        return np.array(["low", "intermediate", "high"], dtype=object)[
            np.searchsorted(cuts, risk, side="right")
        ]

    def _flags(self, patients: Prepared, panels: Strings) -> Strings:
        """Cautions of each patient, as text; `panels` are those without a value."""
        n, columns, features = len(patients), patients.columns, self.classifier.features_
        everyone = np.ones(n, dtype=bool)
        least, most = self._ranges
        encoded = columns.encoded
        outside = ((encoded < least) | (encoded > most)).any(axis=1)
        low, high = self._clipped_beyond
        clipped = ((encoded < low) | (encoded > high)).any(axis=1)
        other_assay = np.zeros(n, dtype=bool)
        for name, known in self.card["assays"].items():
            for cohort, assay in patients.assays.get(name, {}).items():
                if name in features and assay not in known:
                    measured = ~columns.missing[:, features.index(name)]
                    other_assay |= measured & (patients.cohorts == cohort)
        not_mono = np.zeros(n, dtype=bool)
        if "regimen" in patients.values:
            regimens = patients.values["regimen"]
            not_mono = ~pd.isna(regimens) & np.isnan(level_codes(regimens, sorted(MONOTHERAPY)))
        marks = {
            "research_use_only": everyone,
            "mixed_regimens": everyone & bool(self.card["mixed_regimens"]),
            "not_monotherapy": not_mono,
            "at_landmark": everyone & (self.landmark_weeks is not None),
            "unseen_category": columns.unseen,
            "outside_training_range": outside,
            "no_panel_measured": columns.missing.all(axis=1),
            "assay_differs": other_assay,
        }
        if self.uncertainty is not None:
            known = self.uncertainty.applicability
            marks["far_from_training"] = known.far(columns) | clipped
            marks["unseen_panel_pattern"] = known.unseen_patterns(panels)
        return named_marks(np.column_stack(list(marks.values())), list(marks))

    @cached_property
    def _ranges(self) -> Floats:
        """Least and greatest training value of each feature; NaN for levels."""
        none = (np.nan, np.nan)
        ranges = self.classifier.ranges_
        return np.array([ranges.get(name, none) for name in self.classifier.features_]).T

    @cached_property
    def _clipped_beyond(self) -> Floats:
        """Values far beyond training and beyond where the linear score clips, or NaN."""
        anchor, ranges = self.classifier.ensemble_.anchor, self._ranges
        if anchor is None:
            return np.full_like(ranges, np.nan)
        limits = anchor.far_limits(self.classifier.features_)
        return np.stack([np.minimum(limits[0], ranges[0]), np.maximum(limits[1], ranges[1])])

    # ------------------------------------------------------------------ bundle

    def save(self, path: str | Path) -> None:
        """Write the bundle, whole or not at all; an older one at the place is replaced.

        Raises
        ------
        FileError
            If the folder cannot be written, or holds something else than a bundle.
        """
        write_bundle(Path(path), self._texts())

    def _texts(self) -> dict[str, str]:
        """Every file of the bundle but the manifest, by name."""
        classifier = self.classifier
        ensemble = classifier.ensemble_
        texts = {
            f"members/{k:03d}.txt": without_extremes(member.model_to_string())
            for k, member in enumerate(ensemble.members)
        }
        texts["classifier.json"] = as_json(
            {
                "parameters": {k: v for k, v in classifier.get_params().items() if k != "n_jobs"},
                "classes": [int(c) for c in classifier.classes_],
                "calibration": list(classifier.calibration_),
                **{name: getattr(classifier, name) for name in FITTED},
                "anchor": None if ensemble.anchor is None else ensemble.anchor.to_json(),
                "anchor_columns": ensemble.anchor_columns,
                "base_value": ensemble.base_value,
            }
        )
        texts["references.json"] = as_json(self.references.to_json())
        texts["card.json"] = as_json(dict(self.card))
        texts["inputs.json"] = as_json(self.plan.to_json())
        if self.policy is not None:
            texts["policy.json"] = as_json(self.policy.model_dump(mode="json"))
        if self.uncertainty is not None:
            texts["uncertainty.json"] = as_json(self.uncertainty.to_json())
        return texts


def made_ready(
    model: ResistanceModel | ResistanceClassifier,
    source: PatientsLike,
) -> tuple[ResistanceClassifier, Prepared]:
    """Classifier, and patients as the model takes them; a bare classifier knows its features alone.

    Raises
    ------
    DataError
        As for :meth:`ResistanceModel.prepare`.
    """
    if isinstance(model, ResistanceModel):
        return model.classifier, model.prepare(source)
    if isinstance(source, Prepared):
        return model, source
    table = source.table if isinstance(source, Cohort) else source
    found = prepared(table, FeaturePlan(tuple(model.features_)), model.levels_)
    return model, found.require_sound()
