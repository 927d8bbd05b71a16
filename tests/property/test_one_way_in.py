"""The same measured values give the same scores, wherever the patients come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import yaml

from stratify import ResistanceClassifier, Study, load, train
from stratify.cli import main
from stratify.errors import DataError
from stratify.experiment.registry import score_registry
from stratify.interpretation.attribution import attributions, explanation, stability
from stratify.interpretation.counterfactual import along, what_if
from stratify.interpretation.information import value_of_information
from stratify.interpretation.interactions import interaction_summary, interactions
from stratify.interpretation.patient import patient_findings
from stratify.scoring.batch import BatchScorer
from stratify.scoring.prepared import Prepared
from stratify.tables.findings import Findings
from stratify.tables.schema import field_named
from stratify.tracking.request import as_request, score_request

NUMBERS = {
    "age": (40, 85, 0),
    "ecog": (0, 2, 0),
    "albumin": (2.5, 5, 2),
    "neutrophils": (1.5, 12, 1),
    "lymphocytes": (0.4, 3, 1),
    "leukocytes": (12, 16, 1),
    "platelets": (120, 500, 0),
    "ldh": (120, 600, 0),
    "ldh_upper_limit": (240, 255, 0),
    "metastatic_sites": (0, 5, 0),
    "tmb": (0.5, 60, 1),
    "pdl1_tps": (0, 100, 0),
}
INDICES = ("nlr", "dnlr", "plr", "sii", "pni", "ldh_ratio", "lipi", "rmh_score")
DERIVED = (*INDICES, "tmb_log2", "tmb_within_panel", "pdl1_tps_tier")
LEVELS = {
    "cancer_type": ("nsclc", "melanoma", "renal"),
    "sex": ("female", "male"),
    "regimen": ("anti_pd1_pdl1",),
    "tmb_assay": ("panel A", "exome"),
}
POLICY = {
    "name": "board",
    "version": "1",
    "source": "illustration only",
    "monotherapy_below": 0.5,
    "combination_from": 0.6,
    "required_markers": ["pdl1_tps"],
}
PANELS = {
    "clinical": [*list(NUMBERS)[:10], "cancer_type", "sex", "regimen"],
    "pdl1": ["pdl1_tps"],
    "tmb": ["tmb", "tmb_assay"],
}
SCORES = ["risk", "risk_low", "risk_high"]
WORDS = ["risk_group", "panels_missing", "flags"]
DECISION = ["recommendation", "reason", "would_change"]
REASONS = [f"reason_{k}{part}" for k in (1, 2, 3) for part in ("", "_shap")]


def patients(n: int, seed: int) -> pd.DataFrame:
    """Canonical columns, complete."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"patient_id": [f"P{seed}-{i:04d}" for i in range(n)]})
    for name, (low, high, decimals) in NUMBERS.items():
        table[name] = rng.uniform(low, high, n).round(decimals)
    for name, levels in LEVELS.items():
        table[name] = rng.choice(levels, n).astype(object)
    return table


def mapped(names: list[str]) -> dict[str, dict[str, object]]:
    """Panels of a study file whose columns have canonical names and units."""
    panels: dict[str, dict[str, object]] = {}
    for name in names:
        field = field_named(name)
        entry: dict[str, object] = {"column": name}
        if field.unit is not None:
            entry |= {"unit": field.unit, "unit_confirmed": True}
        if name == "pdl1_tps":
            entry["assay"] = "22C3"
        panels.setdefault(field.panel, {})[name] = entry
    return panels


def study(folder: Path, file: str, names: list[str], **more: object) -> Path:
    outcomes = more.pop("outcomes", {})
    panels = mapped(names) | outcomes
    table = {"file": file, "patient_id": "patient_id", "panels": panels}
    role = "train" if outcomes else "external"
    cohort = {"name": "home", "role": role, "pdl1": {"tiers": True}, "tables": [table]}
    path = folder / f"{Path(file).stem}.yaml"
    path.write_text(yaml.safe_dump({"stratify": 1, "name": "doors", "cohorts": [cohort], **more}))
    return path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose features are derived in every way there is, trained on complete panels."""
    folder = tmp_path_factory.mktemp("doors")
    table = patients(260, seed=1)
    rng = np.random.default_rng(2)
    margin = 1.2 * np.log(table["neutrophils"] / table["lymphocytes"]) - 0.05 * table["tmb"] - 0.5
    early = rng.random(len(table)) < 1 / (1 + np.exp(-margin))
    table["pfs"] = np.where(early, rng.uniform(1, 5, len(table)), rng.uniform(7, 30, len(table)))
    table["pfs_event"] = early.astype(int)
    table["best_response"] = np.where(early, "PD", "SD")
    gaps = rng.random((len(table), len(NUMBERS))) < 0.15
    table[list(NUMBERS)] = table[list(NUMBERS)].mask(gaps)
    table.to_csv(folder / "train.csv", index=False)
    outcomes = {
        "outcomes": {
            "pfs": {"column": "pfs", "unit": "months"},
            "pfs_event": {"column": "pfs_event", "coding": {0: False, 1: True}},
            "best_response": "best_response",
        }
    }
    features = ["age", "ecog", "albumin", "sex", "cancer_type", "tmb", "pdl1_tps", *DERIVED]
    path = study(
        folder, "train.csv", [*NUMBERS, *LEVELS], outcomes=outcomes, features=features,
        training_scales=["tmb"], policy=POLICY,
    )  # fmt: skip
    small = ResistanceClassifier(n_members=3, n_estimators=20, calibration_folds=2)
    train(Study.load(path), folder / "out", classifier=small, folds=2)
    return folder / "out" / "bundle"


@pytest.fixture(scope="module")
def measured() -> pd.DataFrame:
    """300 patients with any subset of what can be measured; some indices are reported."""
    table = patients(300, seed=3)
    rng = np.random.default_rng(4)
    with np.errstate(divide="ignore"):
        table["nlr"] = (table["neutrophils"] / table["lymphocytes"] * 1.001).round(4)
        table["tmb_log2"] = np.log2(table["tmb"] + 1)
    names = [*NUMBERS, *LEVELS, "nlr", "tmb_log2"]
    share = rng.uniform(0, 1, len(table))[:, None]
    gone = rng.random((len(table), len(names))) < share
    table[names] = table[names].mask(gone)
    return table


def equal(found: pd.DataFrame, expected: pd.DataFrame, columns: list[str]) -> None:
    for name in columns:
        one, other = found[name].to_numpy(), expected[name].to_numpy()
        same = (one == other) | (pd.isna(one) & pd.isna(other))
        assert same.all(), f"{name}: {int((~same).sum())} of {len(same)} differ"


def test_every_door_gives_the_same_scores_flags_and_reasons(bundle, measured, tmp_path):
    model = load(bundle)
    names = [name for name in measured if name != "patient_id"]
    measured.to_parquet(tmp_path / "new.parquet", index=False)
    path = study(tmp_path, "new.parquet", names)

    by_table = model.score_table(measured.assign(cohort="home"), top=3)
    assert by_table["risk"].nunique() > 200
    assert len(set(by_table["reason"])) > 3

    arguments = ["score", str(bundle), str(path), "--explain", "top", "--top", "3"]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--out", str(tmp_path / "scores.parquet")])
    assert ended.value.code == 0
    by_command = pd.read_parquet(tmp_path / "scores.parquet")
    everything = [*SCORES, *WORDS, *DECISION, *REASONS]
    equal(by_command, by_table.sort_values("patient_id"), everything)

    score_registry(bundle, path, tmp_path / "registry", explain="top", top=3, part_rows=70)
    by_registry = pd.read_parquet(tmp_path / "registry" / "scores")
    equal(by_registry, by_table, everything)

    scorer = BatchScorer(bundle, path, top=3)
    equal(scorer(measured), by_table, everything)
    equal(BatchScorer(bundle, top=3)(measured.assign(cohort="home")), by_table, everything)
    partitions = dd.from_pandas(measured, npartitions=4, sort=False)
    by_dask = partitions.map_partitions(scorer, meta=scorer.meta).compute(scheduler="sync")
    equal(by_dask, by_table, everything)

    served = score_request(model, as_request(measured, model.inputs))
    assert (served["findings"] == "").all()
    equal(served, by_table, [*SCORES, *WORDS, *DECISION])

    for i, row in enumerate(measured.to_dict("records")):
        if not any(pd.notna(row[name]) for name in names if name in model.inputs):
            continue
        one = model.score_patient(row, top=3)
        assert all(one[name] == by_table.loc[i, name] for name in SCORES + WORDS)
        assert one["reasons"] == [
            (by_table.loc[i, f"reason_{k}"], by_table.loc[i, f"reason_{k}_shap"]) for k in (1, 2, 3)
        ]


def test_what_is_derived_may_be_sent_or_left_to_the_model(bundle, measured):
    model = load(bundle)
    prepared = model.prepare(measured)
    sent = prepared.table[["patient_id", "cohort", *model.classifier.features_]]
    equal(model.score_table(sent), model.score_table(measured), SCORES)


EXPLAINED = {
    "attributions": attributions,
    "explanation": lambda model, source: pd.DataFrame(explanation(model, source).values),
    "stability": stability,
    "interactions": lambda model, source: interactions(model, source, top=3),
    "interaction_summary": interaction_summary,
    "value_of_information": lambda model, source: value_of_information(model, source, draws=5),
    "along": lambda model, source: along(model, _one(source), "tmb", [1.0, 20.0]),
    "what_if": lambda model, source: what_if(model, _one(source)),
    "patient": lambda model, source: patient_findings(model, _one(source)).reasons,
}


def _one(source: Any) -> Any:
    return source.take(slice(0, 1)) if isinstance(source, Prepared) else source.head(1)


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # of shap
@pytest.mark.parametrize("name", EXPLAINED)
def test_explanations_take_what_the_model_makes_of_any_source(bundle, measured, name):
    model = load(bundle)
    some = measured.drop(columns=DERIVED, errors="ignore").iloc[3:9]
    prepared = model.prepare(some)
    assert np.isfinite(prepared.values["nlr"]).any()
    sent = prepared.table[["patient_id", "cohort", *model.classifier.features_]]
    found = [EXPLAINED[name](model, source) for source in (some, prepared, sent)]
    assert len(found[0])
    for other in found[1:]:
        pd.testing.assert_frame_equal(other, found[0], check_dtype=False)


def test_a_bare_classifier_derives_its_features_and_refuses_what_cannot_be(bundle, measured):
    model = load(bundle)
    alone = attributions(model.classifier, measured.drop(columns=DERIVED, errors="ignore"))
    whole = attributions(model, measured)
    assert set(alone["feature"]) == set(whole["feature"])
    same = whole["feature"].isin(["nlr", "plr", "sii", "pni", "albumin", "tmb"]).to_numpy()
    assert whole.loc[same, "value"].notna().any()
    pd.testing.assert_series_equal(alone.loc[same, "value"], whole.loc[same, "value"])
    with pytest.raises(DataError, match="nlr: values of 1 of 5 patients lie outside"):
        attributions(model.classifier, measured.head(5).assign(nlr=[-3.0, 2, 2, 2, 2]))


def test_gaps_of_a_reported_index_are_filled_from_its_components(bundle):
    model = load(bundle)
    parts = {"neutrophils": 6.0, "lymphocytes": 1.5, "tmb": 4.0}
    filled = model.score_patient({**parts, "nlr": None})
    assert filled["risk"] == model.score_patient({**parts, "nlr": 4.0})["risk"]
    assert filled["risk"] == model.score_patient(parts)["risk"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"leukocytes": 8.0, "neutrophils": 9.0}, "counts_contradiction:leukocytes"),
        ({"leukocytes": 1.5, "lymphocytes": 1.7}, "counts_contradiction:leukocytes"),
        ({"leukocytes": 9.0, "neutrophils": 9.04}, ""),
        ({"leukocytes": 9.0, "neutrophils": 6.0, "lymphocytes": 2.0}, ""),
    ],
)
def test_values_of_a_request_that_contradict_each_other_are_named_and_scored(
    bundle, values, expected
):
    model = load(bundle)
    answer = score_request(model, pd.DataFrame([{"age": 60.0, **values}]))
    assert answer["findings"].tolist() == [expected]
    assert answer["risk"].notna().all()
    found = Findings()
    model.prepare(pd.DataFrame([{"age": 60.0, **values}]), findings=found)
    named = [f"{row['code']}:{row['column']}" for row in found.rows]
    assert [each for each in named if each.startswith("counts")] == [expected] * bool(expected)
