"""The benchmark: tasks of several studies, parts left out in turn, what is written."""

from __future__ import annotations

import pandas as pd
import pytest
import yaml
from sklearn.base import clone

from stratify.errors import DataError
from stratify.experiment.benchmark import run_benchmark


@pytest.fixture
def study_file(hospital, tmp_path):
    """One study with three cohorts, named by a benchmark file beside it."""
    hospital.add_cohort("away", seed=8)
    hospital.add_cohort("far", seed=9)
    hospital.write()
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(hospital.document), encoding="utf-8")
    return tmp_path / "study.yaml"


def written(folder, *tasks):
    path = folder / "benchmark.yaml"
    path.write_text(yaml.safe_dump({"stratify": 1, "tasks": list(tasks)}), encoding="utf-8")
    return path


def test_each_cohort_is_left_out_and_all_is_written(study_file, small, tmp_path):
    task = {"name": "all", "studies": ["study.yaml"], "note": "Simulated."}
    told: list[str] = []
    result = run_benchmark(
        written(tmp_path, task), tmp_path / "out", classifier=clone(small), progress=told.append
    )
    assert [line.partition(", about")[0] for line in told] == [
        "all: reading 1 study",
        "all: leaving out away",
        "all: leaving out far",
        "all: leaving out home",
        "writing the results",
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("benchmark.md", "forest_all.png", "meta_analysis.csv", "missingness.csv"),
        "performance.csv",
    ]
    performance = pd.read_csv(tmp_path / "out" / "performance.csv")
    assert set(performance["task"]) == {"all"}
    assert set(performance["cohort"]) == {"away", "far", "home"}
    assert set(performance["split"]) == {"left_out"}
    headline = result.headline()
    assert headline["cohort"].tolist() == ["away", "far", "home", "pooled", "weighted"]
    # cohorts whose AUROC has no standard error are not pooled
    assert headline["n"].tolist()[-1] in (320, 480)
    differences = result.differences().set_index("reference")
    assert {"logistic", "tmb"} <= set(differences.index)
    pooled = result.pooled.query("metric == 'delta_auroc' and reference == 'tmb'").iloc[0]
    assert differences.loc["tmb", "cohorts"] == pooled["n_cohorts"]
    assert differences.loc["tmb", "weighted"].startswith(
        f"{pooled['weighted']:.3f} (".replace("-", "−")
    )
    assert {"stratify", "logistic", "tmb", "pdl1"} <= set(headline)
    row = performance[
        (performance["cohort"] == "away")
        & (performance["model"] == "stratify")
        & (performance["metric"] == "auroc")
        & (performance["subgroup"] == "all")
    ].iloc[0]
    assert headline["stratify"].iloc[0].startswith(f"{row['value']:.2f} (")
    page = (tmp_path / "out" / "benchmark.md").read_text(encoding="utf-8")
    assert "Research use only." in page
    assert "Simulated." in page
    assert page.count("\n## ") == 4
    # panels are complete everywhere, so the gaps tell nothing beyond the largest cohort
    gaps = result.missingness.iloc[0]
    assert gaps["told_by_gaps"] == pytest.approx(gaps["largest_part"], abs=0.1)


def test_cohorts_that_share_patients_are_left_out_together(hospital, small, tmp_path):
    hospital.add_cohort("away", seed=8)
    hospital.add_cohort("twin", seed=9)
    for file in ("clinical", "markers", "outcomes"):
        home, twin = hospital.tables[file], hospital.tables[f"twin_{file}"]
        columns = [c for c in twin.columns if c != "Patient"]
        twin.loc[:, columns] = home[columns].to_numpy()
    hospital.write()
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(hospital.document), encoding="utf-8")
    told: list[str] = []
    run_benchmark(
        written(tmp_path, {"name": "twins", "studies": ["study.yaml"]}),
        tmp_path / "out",
        classifier=clone(small),
        progress=told.append,
    )
    assert [text.partition(", about")[0] for text in told if "leaving" in text] == [
        "twins: leaving out away",
        "twins: leaving out home, twin",
    ]


def test_faults_of_the_file_are_told_at_once(tmp_path):
    path = written(tmp_path, {"name": "a b", "studies": [], "by": "hospital", "folds": 3})
    with pytest.raises(DataError) as refused:
        run_benchmark(path, tmp_path / "out")
    assert str(refused.value) == (
        f"{path}: 4 faults in the benchmark file:\n"
        "  line 3, tasks.0.by: Input should be 'cohort', 'site', 'start_year' or 'cancer_type'\n"
        "  line 4, tasks.0.folds: unknown key\n"
        "  line 5, tasks.0.name: letters, digits, '_', '.' and '-' are expected\n"
        "  line 6, tasks.0.studies: List should have at least 1 item after validation, not 0"
    )
    assert not (tmp_path / "out").exists()


def test_studies_with_different_endpoints_are_not_pooled(hospital, study_file, tmp_path):
    other = hospital.document | {"endpoint": "objective_response"}
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(other), encoding="utf-8")
    path = written(tmp_path, {"name": "both", "studies": ["study.yaml", "other.yaml"]})
    with pytest.raises(DataError) as refused:
        run_benchmark(path, tmp_path / "out")
    assert str(refused.value) == (
        "task both: its studies have the endpoint rules objective_response@1.0.0, "
        "proxy_pfs6@1.0.0; one is expected."
    )


def test_a_cohort_may_not_stand_in_two_studies(study_file, tmp_path):
    path = written(tmp_path, {"name": "twice", "studies": ["study.yaml", "study.yaml"]})
    with pytest.raises(DataError) as refused:
        run_benchmark(path, tmp_path / "out")
    assert str(refused.value) == "task twice: cohorts in two studies: away, far, home."
