"""How much a comparison depends on the seed: one training, several cohorts, several seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd
from sklearn.base import clone

from stratify.errors import ArgumentError
from stratify.model.classifier import ResistanceClassifier
from stratify.references import References
from stratify.statistics.discrimination import auroc, delta_auroc
from stratify.statistics.intervals import normal_quantile, wald, weighted_mean
from stratify.statistics.performance import MODEL
from stratify.validation.training import fit_model, judged_risks

__all__ = ["across_seeds", "weighted_differences"]


def across_seeds(
    classifier: ResistanceClassifier,
    home: pd.DataFrame,
    features: Sequence[str],
    away: Mapping[str, pd.DataFrame],
    *,
    seeds: Sequence[int] = range(10),
    progress: Callable[[str], None] = lambda _: None,
) -> pd.DataFrame:
    """Train with several seeds and judge on cohorts none of the models saw.

    Parameters
    ----------
    home : DataFrame of shape (n_patients, ...)
        Training patients with ``label``.
    """
    if not len(seeds) or not away:
        raise ArgumentError("At least one seed and one cohort to judge on are expected.")
    label = home["label"].to_numpy(dtype=float)
    references = References.fit(home, list(features), label)
    rows = []
    for seed in seeds:
        progress(f"seed {seed}")
        seeded = clone(classifier).set_params(random_state=seed)
        fitted = fit_model(seeded, home, list(features))
        for name, table in away.items():
            risks = judged_risks(fitted, references, table.reset_index(drop=True))
            known = table["label"].to_numpy(dtype=float)
            own = risks.by_model[MODEL]
            for other, risk in risks.by_model.items():
                if other == MODEL or other not in risks.whole():
                    continue
                value, low, high = delta_auroc(known, own, risk)
                row = {"seed": seed, "cohort": name, "reference": other}
                row |= {"auroc": auroc(known, own).value}
                row |= {"auroc_reference": auroc(known, risk).value}
                rows.append(row | {"difference": value, "low": low, "high": high, "n": len(known)})
    return pd.DataFrame(rows)


def weighted_differences(found: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Mean over cohorts, weighted by patients, of the seed in the middle.

    One row a reference that stands in every cohort of the table of :func:`across_seeds`: weighted
    AUROC of both, and the paired ``difference`` with ``low`` and ``high``, for the seed whose
    weighted AUROC is the lower median; ``seed_low`` and ``seed_high`` are the range of the model's
    AUROC over seeds.

    Examples
    --------
    >>> found = pd.DataFrame({"seed": [0, 0], "cohort": ["a", "b"], "reference": "tmb",
    ...     "auroc": [0.7, 0.8], "auroc_reference": [0.6, 0.6], "difference": [0.1, 0.2],
    ...     "low": [0.0, 0.1], "high": [0.2, 0.3], "n": [100, 300]})
    >>> weighted_differences(found)[["auroc", "difference", "low", "high"]].round(3)
       auroc  difference    low   high
    0  0.775       0.175  0.096  0.254
    """
    cohorts = found["cohort"].nunique()
    everywhere = found.groupby(["seed", "reference"])["cohort"].transform("nunique") == cohorts
    kept = found[everywhere]
    rows = []
    for reference, part in kept.groupby("reference", sort=False):
        by_seed = pd.DataFrame([_weighted(rows) for _, rows in part.groupby("seed")])
        middle = by_seed.sort_values("auroc", kind="stable").iloc[(len(by_seed) - 1) // 2]
        paired = wald(middle["difference"], middle["error"], level)
        rows.append(
            {
                "reference": reference,
                **middle[["auroc", "auroc_reference", "difference"]],
                "low": paired.low,
                "high": paired.high,
                "seed_low": by_seed["auroc"].min(),
                "seed_high": by_seed["auroc"].max(),
                "n": int(part[part["seed"] == part["seed"].iloc[0]]["n"].sum()),
            }
        )
    return pd.DataFrame(rows)


def _weighted(part: pd.DataFrame) -> dict[str, float]:
    """Weighted means of one seed, and the standard error of the difference."""
    errors = (part["high"] - part["low"]) / (2 * normal_quantile(0.95))
    means = {
        name: weighted_mean(part[name], errors, part["n"])
        for name in ("auroc", "auroc_reference", "difference")
    }
    return {name: mean for name, (mean, _) in means.items()} | {"error": means["difference"][1]}
