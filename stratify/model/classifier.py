"""ResistanceClassifier: calibrated risk of primary resistance from whatever panels there are.

The scikit-learn face of the anchored ensemble: columns by name, levels, calibration on out-of-fold
margins, interval. No class weights and no resampling to balance, since both break calibration;
monotone constraints where the dictionaries give a direction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from stratify.arrays import Flags, Floats
from stratify.errors import ArgumentError
from stratify.model.capacity import Capacity
from stratify.model.columns import FeatureColumns
from stratify.model.design import Boosting, Design, MemberPatients, TrainingSet
from stratify.model.encoding import (
    check_names,
    content_order,
    graded_labels,
    labels_of,
    levels_of,
    rounded_out,
)
from stratify.model.ensemble import AnchoredEnsemble
from stratify.model.platt import platt_line
from stratify.model.threads import one_thread
from stratify.study.model_settings import check_settings

__all__ = ["ResistanceClassifier"]


class ResistanceClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Gradient-boosted classifier with calibrated risk, interval and missing panels.

    Parameters
    ----------
    n_members : int, default=20
        Bootstrap samples of patients, one small LightGBM model each.
    n_estimators, learning_rate, num_leaves, min_child_samples, reg_lambda, feature_fraction, \
max_bin
        As in LightGBM, for each member.
    mask_value, mask_panel : float, default=0.3, 0.2
        Each member also learns from a copy of its patients in which this share of values, and of
        the patients' panels, is made missing.
    masked_weight : float, default=0.5
        Weight of the copy against 1 of the patients as they are; 0 leaves the copy out, and then
        a column complete in training has to be complete at prediction.
    anchor : sequence of str, "all" or None, default="all"
        Features of the linear score that stands beside the trees; it is refitted on the training
        patients. A sequence may name features that there are not.
    anchor_variance : float, default=1.5
        Prior variance of the anchor's log-odds, shared equally by its features (the ridge penalty
        of a standardised feature is the number of features over it), so that it holds for ten
        features as for a hundred.
    anchor_start : float, default=0.5
        Share of the anchor's out-of-fold margin from which the trees start: with 1 they learn only
        what it misses, with 0 by themselves.
    capacity : {"chosen", "stated"}, default="chosen"
        ``"chosen"`` tries larger, faster trees (twice the leaves at 4.5 times the rate, every
        feature, from the whole anchor) by cross-validation within the training patients, from 200
        of them, and takes them where they gain more than one standard error: they find pairs of
        features that act together. ``"stated"`` keeps the settings given.
    panels : mapping of str to str, optional
        Panel by column, masked together; by default each column known to the dictionaries belongs
        to its panel, any other column to itself.
    monotone : {"schema", None} or mapping of str to int, default="schema"
        +1 where more goes with more resistance, -1 with less. ``"schema"`` takes the directions
        of the dictionaries for the indication of the training patients.
    calibration_folds : int, default=5
        Folds for out-of-fold margins on which the calibration is fitted; 0 for none.
    interval_level : float, default=0.8
        Level of the bootstrap interval of the risk.
    random_state : int, default=0
        Seed; the same seed gives the same predictions on any number of threads and in any order
        of rows and columns.
    n_jobs : int, default=1
        Threads; each member is trained on one.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
    feature_names_in_ : ndarray of str
        Only when fitted on a DataFrame with text column names.
    n_features_in_ : int
    features_ : list of str
        Columns in the order the members know, sorted by name.
    levels_ : dict of str to list of str
        Levels of each categorical column, in the order of their codes.
    ensemble_ : AnchoredEnsemble
    capacity_ : Capacity
        How large its trees are, and what the training patients say of larger ones.
    calibration_ : tuple of float
        Slope and intercept from ensemble margin to log-odds.
    oof_risk_ : ndarray of shape (n_samples,)
        Calibrated out-of-fold risk of the training patients, in the order given; NaN for those
        of weight 0. In-sample where there are no folds: `calibration_folds` is 0, or a class has
        one patient.
    ranges_ : dict of str to tuple of float
        Range of each number in training, rounded outwards.

    Notes
    -----
    Margins are log-odds. The members' margins are averaged, then calibrated by
    ``logit(risk) = slope * margin + intercept`` (Platt 1999), so that exact SHAP values of the
    mean margin explain the risk up to this one line. The interval takes the standard deviation of
    the members' margins as the sampling error of a member: it says how the prediction would move
    with other training patients, not how sure an outcome is.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"albumin": rng.normal(3.9, 0.5, 300), "tmb": rng.lognormal(1.8, 1, 300)})
    >>> y = (rng.random(300) < 1 / (1 + np.exp(2 * (X["albumin"] - 3.9)))).astype(int)
    >>> model = ResistanceClassifier(n_members=3, n_estimators=30).fit(X, y)
    >>> risk = model.predict_proba(X)[:, 1]
    >>> risk.shape, bool(risk[X["albumin"] < 3.2].mean() > risk[X["albumin"] > 4.6].mean())
    ((300,), True)
    >>> bool(np.isfinite(model.predict_proba(X[["tmb"]])).all())
    True
    """

    def __init__(
        self,
        *,
        n_members: int = 20,
        n_estimators: int = 100,
        learning_rate: float = 0.03,
        num_leaves: int = 8,
        min_child_samples: int = 20,
        reg_lambda: float = 5.0,
        feature_fraction: float = 0.4,
        max_bin: int = 63,
        mask_value: float = 0.3,
        mask_panel: float = 0.2,
        masked_weight: float = 0.5,
        anchor: str | Sequence[str] | None = "all",
        anchor_variance: float = 1.5,
        anchor_start: float = 0.5,
        capacity: str = "chosen",
        panels: Mapping[str, str] | None = None,
        monotone: str | Mapping[str, int] | None = "schema",
        calibration_folds: int = 5,
        interval_level: float = 0.8,
        random_state: int = 0,
        n_jobs: int = 1,
    ) -> None:
        self.n_members = n_members
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.num_leaves = num_leaves
        self.min_child_samples = min_child_samples
        self.reg_lambda = reg_lambda
        self.feature_fraction = feature_fraction
        self.max_bin = max_bin
        self.mask_value = mask_value
        self.mask_panel = mask_panel
        self.masked_weight = masked_weight
        self.anchor = anchor
        self.anchor_variance = anchor_variance
        self.anchor_start = anchor_start
        self.capacity = capacity
        self.panels = panels
        self.monotone = monotone
        self.calibration_folds = calibration_folds
        self.interval_level = interval_level
        self.random_state = random_state
        self.n_jobs = n_jobs

    # ------------------------------------------------------------------ scikit-learn contract

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.classifier_tags.multi_class = False
        return tags

    # ------------------------------------------------------------------ fit

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, auxiliary: Any = None
    ) -> ResistanceClassifier:
        """Fit members and calibration.

        Parameters
        ----------
        X : DataFrame or array of shape (n_samples, n_features)
            Numbers with NaN for missing; text or categorical columns are levels.
        y : array of shape (n_samples,)
            Two classes; the greater one (1) is primary resistance.
        sample_weight : array of shape (n_samples,), optional
            Weight by patient, for example for censoring.
        auxiliary : DataFrame or array of shape (n_samples, n_outcomes), optional
            Other outcomes of the same patients, 1 or 0 and 1 with resistance, NaN where not known,
            as from :func:`stratify.model.horizons.horizon_outcomes`. The anchor learns from the
            mean of `y` and these; trees and calibration learn from `y` alone.

        Returns
        -------
        ResistanceClassifier
            Itself.

        Raises
        ------
        ArgumentError
            If a parameter or the classes cannot be used.
        """
        patients, design, order, n = self.training_patients(X, y, sample_weight, auxiliary)
        self.capacity_ = Capacity(self.boosting)
        if self.capacity == "chosen":
            seed, n_jobs = self.random_state, self.n_jobs
            self.capacity_ = Capacity.chosen(
                patients, design, self.boosting, seed=seed, n_jobs=n_jobs
            )
        self.ensemble_ = self._fit_ensemble(patients, design, self.random_state)
        margin, self.calibration_ = self._calibrate(patients, design)
        risk = np.full(n, np.nan)
        risk[order] = _expit(self.calibration_[0] * margin + self.calibration_[1])
        self.oof_risk_ = risk
        return self

    def training_patients(
        self, X: Any, y: Any, sample_weight: Any = None, auxiliary: Any = None
    ) -> MemberPatients:
        """Check and encode training patients, and learn what their columns are.

        Parameters
        ----------
        X, y, sample_weight, auxiliary
            As for :meth:`fit`.

        Returns
        -------
        MemberPatients

        Raises
        ------
        ArgumentError
            If a parameter or the classes cannot be used.
        """
        check_settings(self.get_params())
        target = labels_of(y)
        frame = self._frame_to_fit(X, y)
        check_classification_targets(target)
        if type_of_target(target, input_name="y") != "binary" and len(np.unique(target)) > 2:
            raise ArgumentError(
                "Only binary classification is supported. The type of the target is "
                f"{type_of_target(target)}."
            )
        weight = _check_sample_weight(sample_weight, frame, dtype=np.float64)
        if (weight < 0).any() or not (weight > 0).any():
            raise ArgumentError(
                "sample_weight holds negative values or only zeros; positive weights are expected."
            )
        used = weight > 0
        self.classes_ = np.unique(target[used])
        if len(self.classes_) < 2:
            raise ArgumentError(
                "y holds one class; both classes (1 primary resistance, 0 initial control) are "
                "needed to fit."
            )
        label = (target == self.classes_[1]).astype(np.float64)
        graded = graded_labels(label, auxiliary)
        self.features_ = sorted(frame.columns)
        self.levels_ = levels_of(frame.loc[used, self.features_])
        everyone = TrainingSet(self._matrix(frame), label, graded, weight)
        order = np.flatnonzero(used)[_order(everyone.take(used))]
        patients = everyone.take(order)
        self.complete_ = [
            name
            for name, col in zip(self.features_, patients.matrix.T, strict=True)
            if not np.isnan(col).any()
        ]
        design = Design.of(
            self.levels_,
            self.features_,
            monotone=self.monotone,
            panels=self.panels,
            anchor=self.anchor,
        )
        self.monotone_ = design.directions
        self.ranges_ = {
            name: rounded_out(float(np.nanmin(col)), float(np.nanmax(col)))
            for name, col in zip(self.features_, patients.matrix.T, strict=True)
            if name not in self.levels_ and not np.isnan(col).all()
        }
        return MemberPatients(patients, design, order, len(frame))

    def _frame_to_fit(self, X: Any, y: Any) -> pd.DataFrame:
        if isinstance(X, pd.DataFrame) and all(isinstance(c, str) for c in X.columns):
            check_names(X.columns)
            if len(X) != len(y):
                raise ArgumentError(f"X has {len(X)} rows but y has {len(y)}.")
            if len(X) == 0:
                raise ArgumentError("X has 0 rows; patients are needed to fit.")
            if X.shape[1] == 0:
                raise ArgumentError("X has 0 columns; features are needed to fit.")
            self.feature_names_in_ = np.array(X.columns, dtype=object)
            self.n_features_in_ = X.shape[1]
            return X.reset_index(drop=True)
        if hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        array, _ = validate_data(self, X, y, dtype=np.float64, ensure_all_finite=False, reset=True)
        if np.isinf(array).any():
            raise ArgumentError("X holds infinite values; finite numbers or NaN are expected.")
        return pd.DataFrame(array, columns=_positional(array.shape[1]))

    def _frame_to_predict(self, X: Any) -> pd.DataFrame:
        check_is_fitted(self, "ensemble_")
        if isinstance(X, pd.DataFrame) and hasattr(self, "feature_names_in_"):
            if not set(self.feature_names_in_) & set(X.columns):
                raise ArgumentError(
                    "X has none of the columns seen at fit, which are "
                    f"{', '.join(self.feature_names_in_)}."
                )
            check_names(X.columns[X.columns.isin(self.features_)])
            return X
        array = validate_data(self, X, dtype=np.float64, ensure_all_finite=False, reset=False)
        if np.isinf(array).any():
            raise ArgumentError("X holds infinite values; finite numbers or NaN are expected.")
        names = getattr(self, "feature_names_in_", _positional(array.shape[1]))
        return pd.DataFrame(array, columns=names)

    def _matrix(self, frame: pd.DataFrame) -> Floats:
        return FeatureColumns(frame, self.features_, self.levels_).encoded

    def _fit_ensemble(self, patients: TrainingSet, design: Design, seed: int) -> AnchoredEnsemble:
        with one_thread():
            return AnchoredEnsemble.fit(
                patients, design, self.capacity_.boosting, seed=seed, n_jobs=self.n_jobs
            )

    @property
    def boosting(self) -> Boosting:
        """Settings of the members and the anchor, as stated."""
        return Boosting(**{f.name: getattr(self, f.name) for f in fields(Boosting)})

    def _calibrate(
        self, patients: TrainingSet, design: Design
    ) -> tuple[Floats, tuple[float, float]]:
        """Out-of-fold margins of the training patients and the calibration fitted on them."""
        folds = patients.folds(self.calibration_folds, self.random_state)
        if not folds:
            return self.ensemble_.margins(patients.matrix).mean(axis=0), (1.0, 0.0)
        label, weight = patients.label, patients.weight
        margin = np.empty(len(patients))
        for k, (train, left_out) in enumerate(folds):
            ensemble = self._fit_ensemble(patients.take(train), design, self.random_state + 1 + k)
            margin[left_out] = ensemble.margins(patients.matrix[left_out]).mean(axis=0)
        with one_thread():
            return margin, platt_line(margin, label, weight)

    # ------------------------------------------------------------------ predict

    def decision_function(self, X: Any) -> Floats:
        """Calibrated log-odds of class 1.

        Parameters
        ----------
        X : DataFrame or array of shape (n_samples, n_features)
            A DataFrame may lack columns or have others; columns are matched by name.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        matrix = self.prepared(X)
        slope, intercept = self.calibration_
        margin: Floats = self.ensemble_.margins(matrix).mean(axis=0)
        return slope * margin + intercept

    def predict_proba(self, X: Any) -> Floats:
        """Calibrated probability of both classes.

        Returns
        -------
        ndarray of shape (n_samples, 2)
            Column 1 is the risk of primary resistance, 0 to 1.
        """
        risk = _expit(self.decision_function(X))
        return np.column_stack([1 - risk, risk])

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Class with the greater probability; for decisions use the risk and a policy."""
        positive = (self.decision_function(X) > 0).astype(int)
        predicted: npt.NDArray[Any] = self.classes_[positive]
        return predicted

    def predict_interval(self, X: Any) -> tuple[Floats, Floats, Floats]:
        """Risk with its bootstrap interval.

        Returns
        -------
        risk, low, high : ndarray of shape (n_samples,)
            Probabilities; ``low <= risk <= high``.
        """
        return self.interval(self.ensemble_.margins(self.prepared(X)))

    def interval(self, margins: Floats) -> tuple[Floats, Floats, Floats]:
        """Risk with its bootstrap interval, by the margins of the members.

        Parameters
        ----------
        margins : ndarray of shape (n_members, n_samples)
            From ``ensemble_.margins``.

        Returns
        -------
        risk, low, high : ndarray of shape (n_samples,)
        """
        centre, spread = self.centre(margins), self.spread(margins)
        return _expit(centre), _expit(centre - spread), _expit(centre + spread)

    def centre(self, margins: Floats) -> Floats:
        """Calibrated log-odds by the margins of the members, of shape (n_samples,)."""
        slope, intercept = self.calibration_
        calibrated: Floats = slope * margins.mean(axis=0) + intercept
        return calibrated

    def spread(self, margins: Floats) -> Floats:
        """Half the width of the bootstrap interval, calibrated log-odds.

        Parameters
        ----------
        margins : ndarray of shape (n_members, n_samples)
            Margins by member, or their differences between two sets of values.
        """
        quantile = _t_quantile(0.5 + self.interval_level / 2, len(margins) - 1)
        half: Floats = quantile * self.calibration_[0] * margins.std(axis=0, ddof=1)
        return half

    def contributions(self, X: Any) -> tuple[Floats, float, Floats]:
        """Exact SHAP values of the mean margin.

        Returns
        -------
        shap : ndarray of shape (n_samples, n_features)
            Log-odds before calibration, columns as ``features_``.
        base_value : float
            ``ensemble_.base_value``.
        margin : ndarray of shape (n_samples,)
            ``base_value + shap.sum(axis=1)``.
        """
        matrix = self.prepared(X)
        margins, values = self.ensemble_.explained(matrix)
        return values, self.ensemble_.base_value, margins.mean(axis=0)

    def interactions(self, X: Any) -> Floats:
        """Exact pairwise SHAP interactions of the mean margin.

        Parameters
        ----------
        X : DataFrame or array of shape (n_samples, n_features)
            As for :meth:`predict_proba`.

        Returns
        -------
        ndarray of shape (n_samples, n_features, n_features)
            Log-odds before calibration, rows and columns as ``features_``; symmetric, half of each
            interaction on either side. The diagonal is what a feature adds by itself, the anchor's
            part included; a row adds up to the feature's contribution.

        Raises
        ------
        UnsupportedTreesError
            If neither the compiled loops nor shap compute those of the members (never those of
            `fit`).

        Notes
        -----
        Lundberg 2020 (10.1038/s42256-019-0138-9), by quadrature: see
        :mod:`stratify.trees.shapley`.
        """
        return self.ensemble_.interactions(self.prepared(X))

    def encoded(self, X: Any) -> Floats:
        """Features as the members see them: columns as ``features_``, levels as codes."""
        return self._matrix(self._frame_to_predict(X))

    def prepared(self, X: Any) -> Floats:
        """Features as :meth:`encoded`, refused where the members would misread a missing value."""
        return self.readable(self._matrix(self._frame_to_predict(X)))

    def readable(self, matrix: Floats) -> Floats:
        """Give an encoded matrix back, or refuse it where the members would misread it.

        Raises
        ------
        ArgumentError
            If a value is missing where training had none.
        """
        if self.masked_weight > 0 and (self.mask_value > 0 or self.mask_panel > 0):
            return matrix
        # Where training had no missing value, LightGBM would read one as zero.
        unread = [
            name
            for name, column in zip(self.features_, matrix.T, strict=True)
            if name in self.complete_ and np.isnan(column).any()
        ]
        if unread:
            raise ArgumentError(
                f"X has missing values or unseen levels in {', '.join(unread)}, complete at fit; "
                "fit with masked_weight and mask_value above 0 to predict without them."
            )
        return matrix

    def unseen_levels(self, X: pd.DataFrame) -> Flags:
        """Rows with a category that training never saw; it is read as missing."""
        check_is_fitted(self, "ensemble_")
        return FeatureColumns(X, list(self.levels_), self.levels_).unseen


def _order(patients: TrainingSet) -> npt.NDArray[np.intp]:
    """Order by content, grades included."""
    columns = np.column_stack([patients.matrix, patients.graded])
    return content_order(columns, patients.label, patients.weight)


def _positional(n: int) -> list[str]:
    return [f"x{j:05d}" for j in range(n)]


@cache
def _t_quantile(level: float, degrees: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, level))


def _expit(x: Floats) -> Floats:
    from scipy.special import expit

    result: Floats = expit(x)
    return result
