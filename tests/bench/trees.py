"""Margins, Shapley values and interactions of boosted trees against other implementations.

Ten models of 200 trees of up to 31 leaves are trained on a simulated cohort of 20,000 and, where
the folder named by STRATIFY_DATA is there, on the MSK cohort of Chowell 2022. One thread.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
from timing import Measured, ratios

from stratify import Study, read_cohort
from stratify.cohort.features import features_matrix, informative_features
from stratify.model.columns import FeatureColumns
from stratify.model.encoding import levels_of
from stratify.simulation import simulate
from stratify.tables.schema import patient_panels
from stratify.trees.members import Members

ROOT = Path(__file__).parents[2]
PARAMETERS = {
    "objective": "binary",
    "num_leaves": 31,
    "learning_rate": 0.05,
    "min_data_in_leaf": 5,
    "min_data_per_group": 20,
    "feature_fraction": 0.7,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbose": -1,
}
TREES, MEMBERS = 200, 10
Cohort = tuple[np.ndarray, list[int], np.ndarray]  # matrix, columns of codes, label


# ---------------------------------------------------------------- cohorts and models


def simulated(n: int = 20_000) -> Cohort:
    """Matrix, columns of codes and label of a simulated cohort."""
    cohort = simulate(n, seed=0)
    table = cohort.panels["clinical"]
    for name in [each for each in patient_panels()[1:] if each in cohort.panels]:
        table = table.merge(cohort.panels[name], on="patient_id", how="left")
    table = table.drop(columns="patient_id").select_dtypes(exclude="datetime")
    risk = cohort.truth["risk_mono"].to_numpy()
    label = np.random.default_rng(0).random(n) < risk
    return *_encoded(table), label


def chowell() -> Cohort:
    """Matrix, columns of codes and label of the evaluable patients of the MSK cohort."""
    cohort = read_cohort(Study.load(ROOT / "pipelines" / "studies" / "chowell.yaml")).evaluable
    frame = features_matrix(cohort.table, informative_features(cohort, None))
    return *_encoded(frame), cohort.table["label"].to_numpy(dtype=bool)


def _encoded(frame: pd.DataFrame) -> tuple[np.ndarray, list[int]]:
    levels = levels_of(frame)
    names = list(frame.columns)
    return FeatureColumns(frame, names, levels).encoded, [names.index(name) for name in levels]


def trained(matrix: np.ndarray, label: np.ndarray, codes: list[int]) -> list[lightgbm.Booster]:
    """Members, each on a bootstrap sample."""
    members = []
    for seed in range(MEMBERS):
        rows = np.random.default_rng(seed).integers(0, len(label), len(label))
        data = lightgbm.Dataset(
            matrix[rows], label[rows], categorical_feature=codes, params={"verbose": -1}
        )
        members.append(lightgbm.train({**PARAMETERS, "seed": seed}, data, TREES))
    return members


# ---------------------------------------------------------------- what is compared


def compared(
    matrix: np.ndarray, codes: list[int], label: np.ndarray, rounds: int
) -> Iterator[Measured]:
    """Work, what it is compared with, and ratios; prints the largest differences."""
    boosters = trained(matrix, label, codes)
    first, ensemble = Members.checked(boosters[:1]), Members.checked(boosters)
    assert ensemble.trees is not None
    few, rows, row = matrix[:200], matrix[:2000], matrix[:1]

    def contributions(some: list[lightgbm.Booster], of: np.ndarray) -> np.ndarray:
        return np.mean([b.predict(of, pred_contrib=True, num_threads=1) for b in some], axis=0)

    def margins(of: np.ndarray) -> np.ndarray:
        return np.array([b.predict(of, raw_score=True, num_threads=1) for b in boosters])

    differences = {
        "margins": np.abs(ensemble.margins(rows) - margins(rows)).max(),
        "one model": np.abs(
            first.contributions(few) - contributions(boosters[:1], few)[:, :-1]
        ).max(),
        "ensemble": np.abs(
            ensemble.contributions(few) - contributions(boosters, few)[:, :-1]
        ).max(),
    }
    limits = {"margins": 0.0, "one model": 1e-9, "ensemble": 1e-9}
    for what, difference in differences.items():
        assert difference <= limits[what], f"{what}: {difference} from LightGBM"
        yield Measured(f"largest difference, {what}", "LightGBM", (difference,) * 3, unit="")

    share = len(few) / len(rows)
    yield Measured(
        "margins, ensemble of 10",
        "ten predict(raw_score=True)",
        ratios(lambda: ensemble.margins(rows), lambda: margins(rows), rounds),
    )
    one = lambda: first.contributions(rows)  # noqa: E731
    yield Measured(
        "SHAP, one model",
        "pred_contrib",
        ratios(one, lambda: contributions(boosters[:1], few), rounds, per=share),
    )
    yield Measured(
        "SHAP, one model, float32",
        "pred_contrib",
        ratios(
            lambda: first.contributions(rows, dtype=np.float32),
            lambda: contributions(boosters[:1], few),
            rounds,
            per=share,
        ),
    )
    yield Measured(
        "SHAP, ensemble of 10",
        "mean of ten pred_contrib",
        ratios(
            lambda: ensemble.contributions(rows),
            lambda: contributions(boosters, few),
            rounds,
            per=share,
        ),
    )
    yield Measured(
        "one patient, ensemble of 10: margins and SHAP",
        "LightGBM",
        ratios(
            lambda: (ensemble.margins(row), ensemble.contributions(row)),
            lambda: (margins(row), contributions(boosters, row)),
            rounds,
        ),
    )
    yield from _with_peers(matrix, label, boosters[0], first, rounds)


def _with_peers(
    matrix: np.ndarray, label: np.ndarray, booster: lightgbm.Booster, first: Members, rounds: int
) -> Iterator[Measured]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap
    few, rows = matrix[:200], matrix[:2000]
    warnings.filterwarnings("ignore", module="shap")
    explainer = shap.TreeExplainer(booster)
    yield Measured(
        "SHAP, one model",
        "shap.TreeExplainer",
        ratios(
            lambda: first.contributions(rows),
            lambda: explainer.shap_values(few),
            rounds,
            per=len(few) / len(rows),
        ),
    )
    # The peers below do not take sets of categories: all columns are numbers to both sides.
    plain = np.nan_to_num(matrix, nan=-1.0)
    data = lightgbm.Dataset(plain, label, params={"verbose": -1})
    numeric = lightgbm.train(PARAMETERS, data, TREES)
    members = Members.checked([numeric])
    explainer = shap.TreeExplainer(numeric)
    small, thousand = plain[:10], plain[:1000]
    difference = members.interactions(small) - explainer.shap_interaction_values(small)
    largest = float(np.abs(difference).max())
    assert largest < 1e-6, f"interactions: {largest} from shap"
    yield Measured("largest difference, interactions", "shap", (largest,) * 3, unit="")
    yield Measured(
        "interactions, 1,000 patients",
        "shap_interaction_values (timed on 10)",
        ratios(
            lambda: members.interactions(thousand),
            lambda: explainer.shap_interaction_values(small),
            rounds,
            per=len(small) / len(thousand),
        ),
    )
    if find_spec("xgboost"):
        import xgboost

        grown = xgboost.train(
            {
                "objective": "binary:logistic",
                "grow_policy": "lossguide",
                "max_leaves": PARAMETERS["num_leaves"],
                "max_depth": 0,
                "learning_rate": PARAMETERS["learning_rate"],
                "tree_method": "hist",
                "nthread": 1,
            },
            xgboost.DMatrix(plain, label, nthread=1),
            TREES,
        )
        table = xgboost.DMatrix(plain[:500], nthread=1)
        yield Measured(
            "SHAP, one model",
            f"xgboost {version('xgboost')} pred_contribs",
            ratios(
                lambda: members.contributions(plain[:2000]),
                lambda: grown.predict(table, pred_contribs=True),
                rounds,
                per=500 / len(plain[:2000]),
            ),
        )
    if find_spec("woodelf"):
        from woodelf import WoodelfExplainer

        for n in (2_000, 20_000):
            if n > len(plain):
                continue
            frame = pd.DataFrame(plain[:n], columns=numeric.feature_name())
            woodelf = WoodelfExplainer(numeric)
            yield Measured(
                f"SHAP, one model, {n:,} patients",
                f"woodelf-explainer {version('woodelf-explainer')}",
                ratios(
                    lambda n=n: members.contributions(plain[:n]),
                    lambda frame=frame, woodelf=woodelf: _silent(woodelf.shap_values, frame),
                    rounds,
                ),
            )


def _silent(work: Callable[[pd.DataFrame], object], frame: pd.DataFrame) -> None:
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stderr(nowhere),
        contextlib.redirect_stdout(nowhere),
    ):
        work(frame)


def rows(rounds: int) -> Iterator[Measured]:
    """Every row of both cohorts."""
    cohorts = {"simulated 20,000": simulated}
    os.environ.setdefault("STRATIFY_DATA", str(ROOT.parent / "shared" / "data"))
    if Path(os.environ["STRATIFY_DATA"]).is_dir():
        cohorts["Chowell 2022"] = chowell
    for name, cohort in cohorts.items():
        for measured in compared(*cohort(), rounds):
            yield measured._replace(work=f"{measured.work}; {name}")
