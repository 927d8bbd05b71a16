"""Commands on models: train, judge, recalibrate, score, compare arms, report."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stratify.cli.terminal import (
    BundleFolder,
    OutFolder,
    PatientLevel,
    Store,
    StudyFile,
    Track,
    app,
    bundle_folder,
    headline,
    log_run,
    print_findings,
    progress,
    show_decisions,
    show_findings,
    show_table,
)
from stratify.errors import ArgumentError

if TYPE_CHECKING:
    import pandas as pd

PolicyFile = Annotated[
    Path | None,
    typer.Option(help="Policy (YAML) in place of the study's or bundle's.", show_default=False),
]


@app.command()
def models() -> None:
    """List the models that ship with the package, for `ready:NAME` in place of a bundle.

    Example: `stratify models`
    """
    from stratify.scoring.ready import ready_models

    for row in ready_models().to_dict("records"):
        typer.echo(f"{row['name']}: {row['title']}")
        typer.echo(
            f"  {row['patients']} patients, {row['resistant']} of them resistant "
            f"({row['endpoint']}); AUROC {row['auroc']:.2f} ({row['low']:.2f} to "
            f"{row['high']:.2f}), {row['judged_by']}"
        )
        for name in ("inputs", "intended_use", "excluded_use", "sources"):
            typer.echo(f"  {name.replace('_', ' ')}: {row[name]}")
    typer.echo("Research use only.")


@app.command()
def train(
    study: StudyFile,
    out: OutFolder = Path("results"),
    endpoint: Annotated[
        str | None, typer.Option(help="Endpoint rule in place of the study file's.")
    ] = None,
    workers: Annotated[
        int,
        typer.Option(help="Processes of one thread each that share the folds; 1: threads.", min=1),
    ] = 1,
    track: Track = True,
    store: Store = None,
    log_patient_level: PatientLevel = False,
) -> None:
    """Train, calibrate, judge on patients the model never saw, explain, and log the run.

    Example: `stratify train pipelines/studies/chowell.yaml --out results/chowell`
    """
    from stratify.endpoint import endpoint_rule
    from stratify.experiment import training
    from stratify.study import Study

    if endpoint is not None:
        endpoint_rule(endpoint)  # known, or wrong usage: the study file is not to blame
    loaded = Study.load(study, endpoint=endpoint)
    results = training.train(loaded, out, workers=workers, progress=progress())
    print_findings(results.findings)
    show_table(headline(results), f"Model {results.model.version}, research use only")
    show_decisions(results)
    typer.echo(f"Results in {out}, model in {out / 'bundle'}, report in {out / 'report.html'}.")
    log_run(results, out, store, track, log_patient_level)


@app.command()
def evaluate(
    bundle: BundleFolder,
    study: StudyFile,
    out: OutFolder = Path("evaluation"),
    track: Track = True,
    store: Store = None,
    log_patient_level: PatientLevel = False,
    monitor: Annotated[
        bool,
        typer.Option(
            "--monitor", help="Compare with the training patients; outcomes are not needed."
        ),
    ] = False,
    policy: PolicyFile = None,
) -> None:
    """Judge a bundle on external cohorts.

    Example: `stratify evaluate results/chowell/bundle pipelines/studies/shim.yaml --out
    results/shim`
    """
    from stratify.experiment import training

    if out.suffix == ".html":
        raise ArgumentError(f"--out is {out.name}; a folder is expected, or use stratify report.")
    folder = bundle_folder(bundle, store)
    if monitor:
        _monitor(folder, study, out, store if track else None, track=track)
        return
    results = training.evaluate(folder, study, out, policy=policy, progress=progress())
    print_findings(results.findings)
    show_table(headline(results), f"Model {results.model.version}, research use only")
    show_decisions(results)
    typer.echo(f"Results in {out}, report in {out / 'report.html'}.")
    log_run(results, out, store, track, log_patient_level)


def _monitor(bundle: Path, study: Path, out: Path, store: str | None, *, track: bool) -> None:
    """Report how new patients differ from those of training, and log it."""
    from stratify.experiment.monitoring import monitor
    from stratify.tracking.monitoring import ALERTS, log_monitoring

    found = monitor(bundle, study, out, progress=progress())
    alerts = found.findings[found.findings["code"].isin(ALERTS)]
    show_findings(alerts)
    patients = ", ".join(f"{name} {n}" for name, n in found.n.items())
    typer.echo(f"{len(alerts)} alerts on {patients} patients; table in {out / 'drift.csv'}.")
    if track:
        typer.echo(f"MLflow run {log_monitoring(found, out, uri=store)}.")


class Change(StrEnum):
    """What `recalibrate` may change."""

    CLOSED_TEST = "closed_test"
    INTERCEPT = "intercept"
    INTERCEPT_SLOPE = "intercept_slope"


@app.command()
def recalibrate(
    bundle: BundleFolder,
    study: StudyFile,
    out: Annotated[Path, typer.Option("--out", help="Folder for the new bundle.")],
    what: Annotated[
        Change, typer.Option(help="What may change; by closed_test the patients decide.")
    ] = Change.CLOSED_TEST,
) -> None:
    """Fit a bundle's risks to a small local cohort; the bundle itself stays as it is.

    Example: `stratify recalibrate results/chowell/bundle local.yaml --out results/local`
    """
    from stratify.experiment import training
    from stratify.report.model_card import recalibration_statement

    model, performance = training.recalibrate(
        bundle_folder(bundle, None), study, out, what=what, progress=progress()
    )
    show_table(_before_and_after(performance), "Performance before and after, 95 % intervals")
    typer.echo("Apparent: on the patients that fitted the line; cross-fitted: on others.")
    typer.echo(recalibration_statement(model.card))
    typer.echo(f"Model {model.version} in {out}, research use only.")


def _before_and_after(performance: pd.DataFrame) -> pd.DataFrame:
    """Metrics in rows; before, after (apparent) and after (cross-fitted) in columns."""
    import pandas as pd

    from stratify.report.figures import METRICS, estimate

    rows = performance[(performance["reference"] == "") & performance["threshold"].isna()]
    keys = {
        "before": ("train", "before"),
        "after, apparent": ("train", "after"),
        "after, cross-fitted": ("cv", "after"),
    }
    shown = {
        name: rows[(rows["split"] == split) & (rows["model"] == model)].set_index("metric")
        for name, (split, model) in keys.items()
    }
    metrics = [m for m in METRICS if m in shown["before"].index]
    table = {"metric": [METRICS[m][0] for m in metrics]}
    for name, found in shown.items():
        limits = found.loc[metrics, ["value", "low", "high"]].itertuples()
        table[name] = [estimate(v, low, high, METRICS[m][1]) for m, v, low, high in limits]
    return pd.DataFrame(table)


class Explain(StrEnum):
    """How much `score` explains."""

    NONE = "none"
    TOP = "top"
    FULL = "full"


@app.command()
def score(
    bundle: BundleFolder,
    study: StudyFile,
    out: Annotated[
        Path,
        typer.Option("--out", help="File ending in .csv or .parquet, or a folder for a registry."),
    ],
    policy: PolicyFile = None,
    explain: Annotated[
        Explain, typer.Option(help="Why: the strongest reasons, or every contribution.")
    ] = Explain.NONE,
    top: Annotated[int, typer.Option(help="Reasons given by --explain top.", min=1, max=20)] = 5,
    workers: Annotated[
        int | None, typer.Option(help="Processes for a registry; by default one a core.", min=1)
    ] = None,
    dask: Annotated[
        str | None, typer.Option(help="Dask scheduler, HOST:PORT or local, for a registry.")
    ] = None,
    store: Store = None,
) -> None:
    """Score the patients of a study; outcomes are not needed.

    With a folder for `--out`, files of any size are scored in batches with bounded memory; the same
    command resumes after an interruption.

    Example: `stratify score results/chowell/bundle new_patients.yaml --out scores.csv`
    """
    from collections import Counter

    folder = bundle_folder(bundle, store)
    if out.suffix.lower() in (".csv", ".parquet", ".xlsx"):
        if dask is not None or workers is not None:
            raise ArgumentError("--workers and --dask are for a registry; let --out be a folder.")
        from stratify.experiment.scores import score as score_table

        scores = score_table(
            folder, study, out, policy=policy, explain=explain, top=top, progress=progress()
        )
        n, counts = len(scores), Counter(scores["recommendation"].fillna("none"))
    else:
        import os

        from stratify.experiment.registry import score_registry

        scored = score_registry(
            folder,
            study,
            out,
            policy=policy,
            explain=explain.value,
            top=top,
            workers=workers or os.cpu_count() or 1,
            dask=dask,
            progress=progress(),
        )
        print_findings(scored.findings)
        n, counts = scored.n, Counter(scored.recommendations)
    shares = ", ".join(f"{name} {k}" for name, k in counts.most_common())
    typer.echo(f"{n} patients scored ({shares}), research use only: {out}.")


@app.command()
def effect(
    study: StudyFile,
    out: OutFolder = Path("effect"),
    bundle: Annotated[
        str | None, typer.Option(help="Frozen model whose risk is tested.", show_default=False)
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="Policy (YAML) to value.", show_default=False)
    ] = None,
    track: Track = True,
    store: Store = None,
) -> None:
    """Compare the arms of a study: design, effect, who gains, value of rules.

    Example: `stratify effect pipelines/studies/oak_effect.yaml --out results/oak`
    """
    from stratify.experiment.effect import run_effect
    from stratify.study import Study

    folder = None if bundle is None else bundle_folder(bundle, store)
    results = run_effect(Study.load(study), out, bundle=folder, policy=policy, progress=progress())
    for sentence in results.analysis.statements:
        typer.echo(sentence)
    typer.echo(f"Results in {out}, report in {out / 'effect.html'}, research use only.")
    if track:
        from stratify.tracking.effect_runs import log_effect

        typer.echo(f"MLflow run {log_effect(results, out, uri=store)}.")


@app.command("policy")
def policy_report(
    bundle: BundleFolder,
    study: StudyFile,
    out: Annotated[
        Path, typer.Option("--out", help="File ending in .html, or a folder for the tables too.")
    ] = Path("policy.html"),
    policy: PolicyFile = None,
    monotherapy: Annotated[
        float | None,
        typer.Option(help="Error borne under monotherapy, in place of a file.", show_default=False),
    ] = None,
    combination: Annotated[
        float | None,
        typer.Option(help="Error borne under the combination.", show_default=False),
    ] = None,
    confidence: Annotated[float, typer.Option(help="With which both are kept.")] = 0.9,
    save: Annotated[
        Path | None,
        typer.Option(help="Write the policy with these errors here.", show_default=False),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(help="With --save: who chose them, and where.", show_default=False),
    ] = None,
    track: Track = True,
    store: Store = None,
) -> None:
    """Report what a policy decides on patients the model never saw, and what other errors would.

    Example: `stratify policy results/ours/bundle other.yaml --monotherapy 0.4 --combination 0.25
    --out policy.html`
    """
    from stratify.experiment.policy_choice import choose_policy, stated_errors

    folder = bundle_folder(bundle, store)
    stated = stated_errors(monotherapy, combination, confidence, policy, save, source)
    found = choose_policy(
        folder, study, out, policy=stated or policy, save=save, progress=progress()
    )
    typer.echo(found.statement)
    typer.echo(f"Policy report in {out}, research use only.")
    if save is not None:
        typer.echo(f"Policy in {save}.")
    if track:
        from stratify.tracking.policy_runs import log_policy

        typer.echo(f"MLflow run {log_policy(found, out, uri=store)}.")


@app.command()
def report(
    bundle: BundleFolder,
    study: StudyFile,
    out: Annotated[Path, typer.Option("--out", help="File ending in .html.")] = Path("report.html"),
    patient: Annotated[
        str | None, typer.Option("--patient", help="Identifier: a report of this patient.")
    ] = None,
    cohort: Annotated[
        str | None, typer.Option("--cohort", help="Cohort of the patient, where several have it.")
    ] = None,
    policy: PolicyFile = None,
) -> None:
    """Write the report of a bundle on a study, or of one patient, and nothing else.

    Example: `stratify report results/chowell/bundle pipelines/studies/shim.yaml --out shim.html`
    """
    from stratify.experiment import reporting

    if out.suffix != ".html":
        raise ArgumentError(f"--out is {out.name}; a file ending in .html is expected.")
    folder = bundle_folder(bundle, None)
    if patient is not None:
        reporting.report_patient(folder, study, patient, out, cohort=cohort, policy=policy)
        typer.echo(f"Patient report in {out}, research use only. It names the patient.")
        return
    if cohort is not None:
        raise ArgumentError("--cohort goes with --patient.")
    reporting.report_cohort(folder, study, out, policy=policy, progress=progress())
    typer.echo(f"Report in {out}.")
