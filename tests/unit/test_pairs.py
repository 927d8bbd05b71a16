"""Biomarkers that act together are named where they do, and not where each acts alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from stratify.errors import CohortError
from stratify.model.classifier import ResistanceClassifier
from stratify.validation.pairs import acting_together, benjamini_hochberg

NAMES = [f"signature_s{k}" for k in range(6)]
TRUTHS = {
    "product": lambda X: 1.2 * X[:, 0] * X[:, 1],
    "signs": lambda X: 1.8 * np.sign(X[:, 0]) * np.sign(X[:, 1]),
    "linear": lambda X: 0.9 * X[:, 0] - 0.7 * X[:, 1] + 0.5 * X[:, 2] + 0.3 * X[:, 3],
    "squares": lambda X: 0.9 * (X[:, 0] ** 2 + X[:, 1] ** 2 - 2),
    "one square": lambda X: 1.3 * (X[:, 0] ** 2 - 1),
    "mixed": lambda X: 0.6 * X[:, 0] - 0.5 * X[:, 1] + 0.8 * X[:, 0] * X[:, 1] + 0.5 * X[:, 3],
}
QUICK = ResistanceClassifier(n_members=5, calibration_folds=2, capacity="stated", n_jobs=2)


def patients(truth: str, n: int, seed: int, features: int = 6) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, features))
    label = rng.random(n) < 1 / (1 + np.exp(-TRUTHS[truth](X)))
    table = pd.DataFrame(X, columns=[f"signature_s{k}" for k in range(features)])
    return table.assign(label=label.astype(float), cohort=np.where(np.arange(n) % 2, "b", "a"))


def named(found: pd.DataFrame) -> list[list[str]]:
    return found.loc[found["q"] < 0.05, ["feature", "other"]].values.tolist()


@pytest.fixture(scope="module")
def together() -> pd.DataFrame:
    return acting_together(patients("signs", 1200, 0), NAMES, classifier=QUICK)


def test_two_that_act_together_are_named_and_no_others(together):
    assert named(together) == [["signature_s0", "signature_s1"]]
    first = together.iloc[0]
    assert (first["turns"], first["cohorts"], first["n_cohorts"]) == (4, 2, 2)
    assert first["title"] == "Expression signature: s0"
    assert first["n"] == 799  # a third of the patients only trains
    assert len(together) == 15
    assert first["size"] > 3 * together["size"].iloc[1:].max()


@pytest.mark.parametrize("truth", ["linear", "squares"])
def test_effects_of_one_marker_alone_are_no_pair(truth):
    found = [
        named(acting_together(patients(truth, 900, seed), NAMES, classifier=QUICK, seed=seed))
        for seed in range(2)
    ]
    assert found.count([]) >= 1


def test_the_order_of_patients_decides_nothing_but_the_turns(together):
    again = acting_together(
        patients("signs", 1200, 0).sample(frac=1, random_state=1), NAMES, classifier=QUICK
    )
    assert named(again) == named(together)


def test_levels_and_gaps_are_taken_as_they_are():
    rng = np.random.default_rng(0)
    table = patients("linear", 900, 3)
    table["sex"] = np.where(rng.random(900) < 0.5, "male", "female")
    in_men = 2.5 * np.where(table["sex"] == "male", table["signature_s0"], 0)
    table["label"] = (rng.random(900) < 1 / (1 + np.exp(-in_men))).astype(float)
    table.loc[::7, "signature_s1"] = np.nan
    found = acting_together(table, [*NAMES, "sex"], classifier=QUICK)
    assert named(found) == [["signature_s0", "sex"]]


@pytest.mark.parametrize(("n", "rare"), [(150, 60), (400, 20)])
def test_too_few_patients_are_refused_with_numbers(n, rare):
    table = patients("linear", n, 0)
    table["label"] = (np.arange(n) < rare).astype(float)
    with pytest.raises(CohortError) as refusal:
        acting_together(table, NAMES, classifier=QUICK)
    assert str(refusal.value) == (
        f"{n} patients, {rare} of them with the rarer label; 200 and 50 are needed to test which "
        "biomarkers act together."
    )


def test_adjusted_p_values_are_those_of_statsmodels():
    from statsmodels.stats.multitest import multipletests

    p = np.random.default_rng(0).uniform(size=40) ** 3
    assert np.allclose(benjamini_hochberg(p), multipletests(p, method="fdr_bh")[1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("truth", "there"),
    [("product", True), ("signs", True), ("mixed", True), ("linear", False), ("squares", False)],
)
def test_at_2000_patients_pairs_are_named_where_they_are_and_not_where_they_are_not(truth, there):
    """Twenty cohorts of 15 features with the settings of training."""
    names, found = [f"signature_s{k}" for k in range(15)], []
    for seed in range(20):
        pairs = named(acting_together(patients(truth, 2000, seed, 15), names, seed=seed))
        found.append(["signature_s0", "signature_s1"] in pairs if there else bool(pairs))
    share = np.mean(found)
    print(f"\n{truth}: {share:.2f}")
    assert share >= 0.9 if there else share <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 20)
