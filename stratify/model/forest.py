"""Random forest of probability trees, grown by LightGBM and kept as its text, without pickle.

Splits that reduce the variance of a label of 0 and 1 are those that reduce its Gini impurity, and
leaves hold shares, so that regression trees are probability trees (Malley 2012). Each tree sees
63.2 % of the patients without replacement, as many as a bootstrap sample holds on average.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from stratify.arrays import Floats
from stratify.model.encoding import content_order

__all__ = ["RandomForest"]


@dataclass(frozen=True)
class RandomForest:
    """A fitted forest on numbers; missing ones take the training median.

    Attributes
    ----------
    features : list of str
        Columns in the order of the matrix.
    medians : dict of str to float
        Training median of each column.
    share : float
        Share of label 1 in training, to which the trees' means are added.
    text : str
        The trees, as LightGBM writes them.

    References
    ----------
    Breiman 2001, Machine Learning 45:5-32. Malley 2012, Methods Inf Med 51:74-81. Friedman and
    Hall 2007, J Stat Plan Inference 137:669-683 (subsamples for bootstrap samples).
    """

    features: list[str]
    medians: dict[str, float]
    share: float
    text: str

    @classmethod
    def fit(
        cls,
        matrix: Floats,
        features: Sequence[str],
        label: Floats,
        weight: Floats | None = None,
        *,
        n_trees: int,
        max_depth: int,
        min_samples_leaf: int,
        seed: int = 0,
    ) -> RandomForest:
        """Grow on training patients; each split chooses among the root of the number of columns.

        The same seed gives the same forest, whatever the order of rows.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(200, 2))
        >>> forest = RandomForest.fit(x, ["albumin", "nlr"], (x[:, 0] > 0) * 1.0, n_trees=50,
        ...                           max_depth=3, min_samples_leaf=10)
        >>> forest.risk(np.array([[-1.5, 0.0], [1.5, 0.0]])).round()
        array([0., 1.])
        """
        import lightgbm

        weights = np.ones(len(label)) if weight is None else weight
        known = ~np.isnan(matrix).all(axis=0)
        medians = np.zeros(matrix.shape[1])
        medians[known] = np.nanmedian(matrix[:, known], axis=0)
        columns = np.where(np.isnan(matrix), medians, matrix)
        order = content_order(columns, label, weights)
        share = float(np.average(label, weights=weights))
        settings: dict[str, Any] = {
            "boosting": "rf",
            "objective": "regression",
            "boost_from_average": False,
            "bagging_fraction": 0.632,
            "bagging_freq": 1,
            "feature_fraction_bynode": max(1, int(np.sqrt(matrix.shape[1]))) / matrix.shape[1],
            "max_depth": max_depth,
            "num_leaves": 2**max_depth,
            "min_data_in_leaf": min_samples_leaf,
            "min_sum_hessian_in_leaf": 0,
            "min_data_in_bin": 1,
            "seed": seed,
            "num_threads": 1,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }
        # about the share, since LightGBM takes 0 for trees that find no split
        data = lightgbm.Dataset(columns[order], label[order] - share, weight=weights[order])
        text = lightgbm.train(settings, data, n_trees).model_to_string()
        named = {name: float(m) for name, m in zip(features, medians, strict=True)}
        return cls(list(features), named, share, without_extremes(text))

    def risk(self, matrix: Floats) -> Floats:
        """Probability of label 1, for every patient; columns are those of the training."""
        medians = [self.medians[name] for name in self.features]
        columns = np.where(np.isnan(matrix), medians, matrix)
        trees = _booster(self.text).predict(columns, num_threads=1)
        return np.clip(self.share + np.asarray(trees, dtype=np.float64), 0, 1)


@lru_cache(maxsize=4)
def _booster(text: str) -> Any:
    import lightgbm

    return lightgbm.Booster(model_str=text)


def without_extremes(text: str) -> str:
    """LightGBM's text without each column's smallest and greatest training value."""
    return re.sub(
        r"^feature_infos=.*$",
        lambda line: "feature_infos=" + " ".join(["none"] * len(line.group().split(" "))),
        text,
        flags=re.MULTILINE,
    )
