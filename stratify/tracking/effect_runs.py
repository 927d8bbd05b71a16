"""An analysis of treatment effects as a run: tables, figures and report, no patient."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from stratify.tracking.naming import with_limits
from stratify.tracking.record import RunRecord
from stratify.tracking.upload import log
from stratify.treatment.triage import EVIDENCE_CLASS

if TYPE_CHECKING:
    from stratify.experiment.effect import EffectResults

__all__ = ["log_effect"]


def log_effect(results: EffectResults, out: str | Path, *, uri: str | None = None) -> str:
    """Log an analysis as one run.

    Arguments, return and errors are those of :func:`stratify.tracking.runs.log_results`, with the
    results of :func:`stratify.experiment.effect.run_effect`.
    """
    analysis, study = results.analysis, results.study
    files: dict[str, Path | bytes] = {path.name: path for path in results.files(Path(out))}
    files |= {f"figures/{name}.png": picture for name, picture in results.pictures.items()}
    metrics: dict[str, float] = {}
    if analysis.design.allowed:
        for row in analysis.tables["effects"].to_dict("records"):
            metrics |= with_limits(f"{row['outcome']}/{row['estimator']}", row)
    estimand = analysis.arms.estimand.model_dump(mode="json")
    record = RunRecord(
        experiment=study.name,
        name=f"{study.name} treatment effect",
        tags={
            "mlflow.note.content": "\n".join(f"- {sentence}" for sentence in analysis.statements)
            + "\n\nResearch use only.",
            "mlflow.source.name": "stratify effect",
            "mlflow.source.type": "LOCAL",
            "kind": "treatment effect",
            "evidence_class": EVIDENCE_CLASS,
            "design_allowed": str(analysis.design.allowed).lower(),
        },
        params={"study": study.name, "seed": str(study.seed)}
        | {f"effect.{key}": json.dumps(value) for key, value in estimand.items()}
        | {f"sha256.{name.replace(' ', '_')}": digest for name, digest in results.hashes.items()},
        metrics=metrics,
        tables=dict(analysis.tables),
        files=files,
    )
    return log(record, Path(out), uri=uri)
