"""A training with a search of settings, interrupted and begun again."""

from __future__ import annotations

import pandas as pd
import pytest
import yaml

from stratify import Study, train
from stratify.experiment import training
from stratify.model import tuning
from stratify.model.classifier import ResistanceClassifier
from stratify.simulation import write_study

SMALL = ResistanceClassifier(n_members=2, n_estimators=5, calibration_folds=2)


@pytest.mark.slow
def test_an_interrupted_search_goes_on_and_leaves_nothing_behind(tmp_path, monkeypatch):
    path = write_study(tmp_path / "study", n=150, seed=0)
    document = yaml.safe_load(path.read_text())
    document["model"] = {"tune": 2}
    path.write_text(yaml.safe_dump(document))
    study, out = Study.load(path), tmp_path / "out"
    whole = train(study, tmp_path / "whole", classifier=SMALL, folds=2)
    assert len(whole.trials) == 2

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(training, "cross_validate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(study, out, classifier=SMALL, folds=2)
    assert [p.name for p in out.iterdir()] == ["search.log"]
    with pytest.raises(FileNotFoundError):
        (tmp_path / "whole" / "search.log").read_text()

    judged = []
    real = tuning._Search.losses

    def counted(self, boosting, rounds, trial=None):
        judged.append(trial)
        return real(self, boosting, rounds, trial)

    monkeypatch.setattr(tuning._Search, "losses", counted)
    again = train(study, out, classifier=SMALL, folds=2)
    assert sum(trial is not None for trial in judged) == 2 * 2  # of two folds, not of the model
    assert not (out / "search.log").exists()
    pd.testing.assert_frame_equal(again.performance, whole.performance)
