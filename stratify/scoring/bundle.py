"""The model bundle on disk, and a cohort scored with it.

A bundle is a folder of LightGBM text, JSON and a manifest of SHA-256 sums. Nothing in it is code
and nothing is unpickled. Extremes of the training data are left out of it: a minimum is some
patient's value.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stratify.arrays import Floats, Strings
from stratify.cohort.features import named_marks, panels_without_value
from stratify.cohort.reading import Cohort
from stratify.errors import ArgumentError, BundleError, FileError
from stratify.model.classifier import ResistanceClassifier
from stratify.model.columns import FeatureColumns, level_codes
from stratify.model.ensemble import AnchoredEnsemble
from stratify.model.forest import without_extremes
from stratify.model.linear import LinearScore
from stratify.model.recalibration import Recalibration
from stratify.references import References
from stratify.scoring.manifest import (
    FORMAT,
    FORMAT_VERSION,
    as_json,
    check_versions,
    is_bundle,
    read_manifest,
    sums_of,
    version_of,
)
from stratify.scoring.reasons import top_reasons
from stratify.study import MONOTHERAPY
from stratify.study.policy import Policy
from stratify.tables.schema import load_schema
from stratify.treatment.decision_rules import require_landmark
from stratify.treatment.triage import triage
from stratify.trees.model_text import check_model_text
from stratify.uncertainty.risk_interval import Uncertainty

if TYPE_CHECKING:
    import lightgbm

__all__ = ["ResistanceModel", "load"]


_FITTED = ("features_", "levels_", "complete_", "monotone_", "ranges_")


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
        and there is neither a Venn-Abers pair nor a flag of applicability.
    version : str
        ``study-<first 8 digits of the bundle's hash>``.
    """

    classifier: ResistanceClassifier
    references: References
    card: Mapping[str, Any]
    policy: Policy | None = None
    uncertainty: Uncertainty | None = None
    version: str = ""

    def __post_init__(self) -> None:
        if not self.version:
            object.__setattr__(self, "version", version_of(self.card, sums_of(self._texts())))

    @property
    def landmark_weeks(self) -> float | None:
        """Weeks after the first dose at which the model is asked; None for a baseline model."""
        weeks: float | None = self.card.get("landmark_weeks")
        return weeks

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
            If the model is of a landmark for which the policy has no rule.
        DataError
            If the policy names a marker that is not available.
        """
        require_landmark(policy, self.landmark_weeks)
        policy.require_known(available, where, self.landmark_weeks)
        return replace(self, policy=policy)

    # ------------------------------------------------------------------ scores

    def score_cohort(self, cohort: Cohort | pd.DataFrame) -> pd.DataFrame:
        """Risk, interval, Venn-Abers pair, group, recommendation and flags of each patient.

        Parameters
        ----------
        cohort : Cohort or DataFrame of shape (n_patients, ...)
            Patients with ``patient_id``, ``cohort`` and canonical columns; columns may be absent,
            more than needed, or in any order.

        Returns
        -------
        DataFrame of shape (n_patients, 16)
            As in the ``scores`` dictionary, patients in the order given.
        """
        if isinstance(cohort, Cohort):
            return self.score_table(cohort.table, cohort.assays)
        return self.score_table(cohort)

    def score_table(
        self,
        table: pd.DataFrame,
        assays: Mapping[str, Mapping[str, str]] | None = None,
        *,
        top: int = 0,
    ) -> pd.DataFrame:
        """Scores of any number of patients, each without regard to the others.

        Parameters
        ----------
        table : DataFrame of shape (n_patients, ...)
            As for :meth:`score_cohort`.
        assays : mapping of str to mapping of str to str, optional
            Assay by column and cohort.
        top : int
            Reasons to tell, as :func:`stratify.scoring.reasons.top_reasons`.

        Returns
        -------
        DataFrame of shape (n_patients, 15 + 2 * top)
            As in the ``scores`` dictionary, then the reasons.
        """
        classifier = self.classifier
        columns = FeatureColumns(table, classifier.features_, classifier.levels_)
        encoded = classifier.readable(columns.encoded)
        if top:
            margins, contributions = classifier.ensemble_.explained(encoded)
        else:
            margins, contributions = classifier.ensemble_.margins(encoded), None
        risk, low, high = self.risk_and_interval(columns, margins)
        risks = pd.DataFrame({"risk": risk, "risk_low": low, "risk_high": high}, index=table.index)
        missing = panels_without_value(columns.missing, classifier.features_)
        flags = self._flags(table, columns, missing, assays or {})
        mixed = self.card["mixed_regimens"]
        decisions = triage(
            risks,
            table,
            self.policy,
            mixed_regimens=mixed,
            flags=pd.Series(flags, index=table.index, dtype=object),
            landmark_weeks=self.landmark_weeks,
        )
        pair_low, pair_high = self._venn_abers(risk)
        found: dict[str, Any] = {
            "patient_id": table["patient_id"],
            "cohort": table["cohort"],
            "risk": risk,
            "risk_low": low,
            "risk_high": high,
            "risk_group": self.risk_groups(risk),
            **{name: decisions[name] for name in decisions.columns},
            "panels_missing": missing,
            "flags": flags,
            "model_version": self.version,
            "endpoint_rule": self.card["endpoint_rule"],
            "venn_abers_low": pair_low,
            "venn_abers_high": pair_high,
        }
        fields = list(load_schema("scores").fields)
        scores = pd.DataFrame({name: found[name] for name in fields}, index=table.index)
        if contributions is None:
            return scores
        reasons = top_reasons(classifier.features_, contributions, top)
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
            Reasons to tell.

        Returns
        -------
        dict
            ``risk, risk_low, risk_high, risk_group, panels_missing, flags, venn_abers_low,
            venn_abers_high, model_version``, equal to those of :meth:`score_table`, and
            ``reasons``: pairs of feature and contribution in log-odds, the strongest first. For a
            recommendation see :meth:`score_table`.

        Raises
        ------
        ArgumentError
            If it is not one patient, has none of the model's features, or a value cannot be read.
        """
        if isinstance(patient, pd.DataFrame):
            if len(patient) != 1:
                raise ArgumentError(f"patient has {len(patient)} rows; one is expected.")
            patient = dict(
                zip(patient.columns.to_numpy(object), patient.to_numpy(object)[0], strict=True)
            )
        classifier = self.classifier
        features = classifier.features_
        if not any(name in patient for name in features):
            raise ArgumentError(
                f"patient has none of the model's features, which are {', '.join(features)}."
            )
        columns = FeatureColumns(patient, features, classifier.levels_)
        encoded = classifier.readable(columns.encoded)
        margins, explained = classifier.ensemble_.explained(encoded)
        risk, low, high = self.risk_and_interval(columns, margins)
        missing = panels_without_value(columns.missing, features)
        pair_low, pair_high = self._venn_abers(risk)
        contributions = explained[0]
        strongest = np.argsort(-np.abs(contributions), kind="stable")[:top]
        return {
            "risk": float(risk[0]),
            "risk_low": float(low[0]),
            "risk_high": float(high[0]),
            "risk_group": str(self.risk_groups(risk)[0]),
            "panels_missing": str(missing[0]),
            "flags": str(self._flags(patient, columns, missing, {})[0]),
            "venn_abers_low": float(pair_low[0]),
            "venn_abers_high": float(pair_high[0]),
            "model_version": self.version,
            "reasons": [(features[j], float(contributions[j])) for j in strongest],
        }

    def risk_and_interval(
        self, columns: FeatureColumns, margins: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Risk, and an interval of the members' spread and whatever else is known of the doubt."""
        from scipy.special import expit, logit

        risk, low, high = self.classifier.interval(margins)
        line = self.recalibration
        if self.uncertainty is None and line is None:
            return risk, low, high
        margin = logit(risk)
        original, slope = (
            (margin, 1.0) if line is None else (line.original(margin), line.slope.value)
        )
        variance = np.zeros(len(risk)) if line is None else line.variance(original)
        if self.uncertainty is not None:
            variance += slope**2 * self.uncertainty.variance(columns, original)
        quantile = NormalDist().inv_cdf(0.5 + self.classifier.interval_level / 2)
        spread = (logit(high) - logit(low)) / 2
        half = np.sqrt(spread**2 + quantile**2 * variance)
        return risk, expit(margin - half), expit(margin + half)

    def _venn_abers(self, risk: Floats) -> tuple[Floats, Floats]:
        """Both risks of the pair, NaN for a bundle without it."""
        line = self.recalibration
        if self.uncertainty is None or self.uncertainty.venn_abers is None:
            return np.full(len(risk), np.nan), np.full(len(risk), np.nan)
        if line is None:
            return self.uncertainty.venn_abers.pair(risk)
        low, high = self.uncertainty.venn_abers.pair(line.original_risk(risk))
        return line.risk(low), line.risk(high)

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

    def _flags(
        self,
        table: pd.DataFrame | Mapping[str, Any],
        columns: FeatureColumns,
        panels: Strings,
        assays: Mapping[str, Mapping[str, str]],
    ) -> Strings:
        """Cautions of each patient, as text; `panels` are those without a value."""
        n, features = len(columns), self.classifier.features_
        everyone = np.ones(n, dtype=bool)
        least, most = self._ranges
        encoded = columns.encoded
        outside = ((encoded < least) | (encoded > most)).any(axis=1)
        other_assay = np.zeros(n, dtype=bool)
        for name, known in self.card["assays"].items():
            for cohort, assay in assays.get(name, {}).items():
                if name in features and assay not in known:
                    measured = ~columns.missing[:, features.index(name)]
                    other_assay |= measured & (table["cohort"] == cohort).to_numpy()
        not_mono = np.zeros(n, dtype=bool)
        if "regimen" in table:
            regimens = np.asarray(table["regimen"], dtype=object).ravel()
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
            marks["far_from_training"] = known.far(columns)
            marks["unseen_panel_pattern"] = known.unseen_patterns(panels)
        return named_marks(np.column_stack(list(marks.values())), list(marks))

    @cached_property
    def _ranges(self) -> Floats:
        """Least and greatest training value of each feature; NaN for levels."""
        none = (np.nan, np.nan)
        ranges = self.classifier.ranges_
        return np.array([ranges.get(name, none) for name in self.classifier.features_]).T

    # ------------------------------------------------------------------ bundle

    def save(self, path: str | Path) -> None:
        """Write the bundle, whole or not at all; an older one at the place is replaced.

        Raises
        ------
        FileError
            If the folder cannot be written, or holds something else than a bundle.
        """
        path = Path(path)
        if path.exists() and not is_bundle(path):
            raise FileError(f"{path} exists and is no bundle; choose another folder.")
        texts = self._texts()
        texts["manifest.json"] = as_json(
            {"format": FORMAT, "format_version": FORMAT_VERSION, "sha256": sums_of(texts)}
        )
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        older = temporary.with_suffix(".old")
        try:
            (temporary / "members").mkdir(parents=True)
            for name, text in texts.items():
                (temporary / name).write_text(text, encoding="utf-8", newline="\n")
            if path.exists():
                path.replace(older)
            temporary.replace(path)
        except OSError as error:
            if older.exists():
                older.replace(path)
            message = f"The bundle {path} cannot be written: {error.strerror or error}."
            raise FileError(message) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(older, ignore_errors=True)

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
                **{name: getattr(classifier, name) for name in _FITTED},
                "anchor": None if ensemble.anchor is None else ensemble.anchor.to_json(),
                "anchor_columns": ensemble.anchor_columns,
                "base_value": ensemble.base_value,
            }
        )
        texts["references.json"] = as_json(self.references.to_json())
        texts["card.json"] = as_json(dict(self.card))
        if self.policy is not None:
            texts["policy.json"] = as_json(self.policy.model_dump(mode="json"))
        if self.uncertainty is not None:
            texts["uncertainty.json"] = as_json(self.uncertainty.to_json())
        return texts


def load(path: str | Path) -> ResistanceModel:
    """Load a bundle after checking every file's SHA-256.

    Parameters
    ----------
    path : path
        Folder written by :meth:`ResistanceModel.save`.

    Raises
    ------
    FileError
        If there is no such folder.
    BundleError
        If it is no bundle, was altered, or was made for another major version of the format or
        of a data dictionary.
    """
    path = Path(path)
    if not path.is_dir():
        raise FileError(f"There is no bundle folder {path}.")
    manifest = read_manifest(path)
    texts = {name: (path / name).read_text(encoding="utf-8") for name in manifest["sha256"]}
    card = json.loads(texts["card.json"])
    check_versions(path, card["schema_versions"])
    fitted = json.loads(texts["classifier.json"])
    classifier = ResistanceClassifier(**fitted["parameters"])
    members = [
        _member(path, name, text)
        for name, text in sorted(texts.items())
        if name.startswith("members/")
    ]
    anchor = fitted["anchor"]
    classifier.ensemble_ = AnchoredEnsemble(
        members=members,
        anchor=None if anchor is None else LinearScore.from_json(anchor),
        anchor_columns=fitted["anchor_columns"],
        base_value=fitted["base_value"],
    )
    _ = classifier.ensemble_.trees  # checked against LightGBM now, not at the first patient
    classifier.classes_ = np.array(fitted["classes"])
    classifier.calibration_ = (fitted["calibration"][0], fitted["calibration"][1])
    for name in _FITTED:
        setattr(classifier, name, fitted[name])
    classifier.feature_names_in_ = np.array(fitted["features_"], dtype=object)
    classifier.n_features_in_ = len(fitted["features_"])
    policy = json.loads(texts["policy.json"]) if "policy.json" in texts else None
    doubt = json.loads(texts["uncertainty.json"]) if "uncertainty.json" in texts else None
    return ResistanceModel(
        classifier=classifier,
        references=References.from_json(json.loads(texts["references.json"])),
        card=card,
        policy=None if policy is None else Policy.model_validate(policy),
        uncertainty=None if doubt is None else Uncertainty.from_json(doubt),
        version=version_of(card, manifest["sha256"]),
    )


def _member(bundle: Path, name: str, text: str) -> lightgbm.Booster:
    import lightgbm

    try:
        check_model_text(text)
        return lightgbm.Booster(model_str=text)
    except (BundleError, ArgumentError, lightgbm.basic.LightGBMError) as error:
        raise BundleError(
            f"{bundle} holds a damaged model ({name}); LightGBM's text is expected. Restore the "
            "bundle from its source, or train again."
        ) from error
