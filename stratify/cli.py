"""The command line: each command a thin call of the library.

Exit codes: 0 ok, 2 wrong usage, 10 data have errors, 11 cohort unusable, 12 bundle mismatch or
altered, 13 file unreadable or unwritable, 14 tracking unavailable (results are on disk).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stratify.errors import ArgumentError, DataError, StratifyError, TrackingError

if TYPE_CHECKING:
    import pandas as pd

    from stratify.experiment.results import Results

app = typer.Typer(
    name="stratify",
    help="Predict, explain and judge primary resistance to immune checkpoint inhibitors. "
    "Research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

StudyFile = Annotated[Path, typer.Argument(help="Study file (YAML).", show_default=False)]
BundleFolder = Annotated[
    str,
    typer.Argument(
        metavar="BUNDLE",
        help="Bundle folder written by train, or models:/NAME@champion.",
        show_default=False,
    ),
]
OutFolder = Annotated[Path, typer.Option("--out", help="Folder for the results.")]
Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        help="MLflow tracking URI, or a folder. Default: MLFLOW_TRACKING_URI, else beside --out.",
    ),
]
Track = Annotated[bool, typer.Option("--track/--no-track", help="Log the run to MLflow.")]
PatientLevel = Annotated[
    bool,
    typer.Option(
        "--log-patient-level", help="Log scores, labels and attributions of each patient too."
    ),
]


def _progress() -> Callable[[str], None]:
    start = time.monotonic()

    def tell(step: str) -> None:
        typer.echo(f"{time.monotonic() - start:6.1f} s  {step}", err=True)

    return tell


def _show(table: pd.DataFrame, title: str, *, width: int = 120) -> None:
    from rich.console import Console
    from rich.table import Table

    shown = Table(title=title, title_justify="left", show_lines=False)
    for column in table.columns:
        shown.add_column(str(column), overflow="fold", no_wrap=width == 120)
    for row in table.astype(object).itertuples(index=False):
        shown.add_row(*("" if value is None else str(value) for value in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=width)  # files and pipes have no width; do not cut numbers
    console.print(shown, markup=False)


def _show_findings(table: pd.DataFrame, *, err: bool = False) -> None:
    """Print each finding as a block: what, where, found, advice."""
    import shutil
    import textwrap

    width = min(shutil.get_terminal_size().columns, 110)
    colours = {"error": typer.colors.RED, "warning": typer.colors.YELLOW}
    for row in table.to_dict("records"):
        place = "/".join(row[k] for k in ("cohort", "panel", "column") if row[k])
        head = typer.style(f"{row['severity']:<8}", fg=colours.get(row["severity"]), bold=True)
        typer.echo(f"{head} {row['code']}  {place}".rstrip(), err=err)
        for text in (row["message"], f"Advice: {row['advice']}"):
            typer.echo(
                textwrap.fill(text, width, initial_indent=" " * 9, subsequent_indent=" " * 9),
                err=err,
            )


def _headline(results: Results) -> pd.DataFrame:
    """Return AUROC of every model in every cohort but the training patients."""
    rows = results.performance
    rows = rows[
        (rows["metric"] == "auroc")
        & (rows["reference"] == "")
        & (rows["subgroup"] == "all")
        & (rows["split"] != "train")
    ]
    shown = rows[["cohort", "split", "model", "n", "n_events"]].copy()
    shown["AUROC, 95 % interval"] = [
        f"{v:.3f} ({low:.3f}\u2013{high:.3f})"
        for v, low, high in rows[["value", "low", "high"]].itertuples(index=False)
    ]
    return shown


def _report_findings(table: pd.DataFrame) -> None:
    notable = table[table["severity"] != "info"]
    if len(notable):
        counts = ", ".join(f"{code} ({n})" for code, n in notable["code"].value_counts().items())
        typer.echo(f"Findings: {counts}. See findings.csv.", err=True)


def _track(
    results: Results, out: Path, store: str | None, track: bool, patient_level: bool = False
) -> None:
    if not track:
        return
    from stratify.tracking.runs import log_results
    from stratify.tracking.store import default_store, shown

    uri = store or default_store(out)
    run = log_results(results, out, uri=uri, patient_level=patient_level)
    beside = uri == f"sqlite:///{out.resolve().parent / 'mlflow.db'}"
    where = str(out.parent) if beside else shown(uri)
    typer.echo(f"MLflow run {run}. Open it with: stratify ui --store {where}")


def _bundle(name: str, store: str | None) -> Path:
    """Folder of a bundle, looked up in a store if it is named by its place there."""
    from stratify.tracking.registry import bundle_folder, is_registered

    if not is_registered(name):
        return Path(name)
    from stratify.tracking.store import here

    return bundle_folder(name, store or here())


@app.command()
def demo(
    out: OutFolder = Path("demo"),
    n: Annotated[int, typer.Option(help="Simulated training patients.", min=100)] = 600,
    seed: Annotated[int, typer.Option(help="Seed of the simulation.", min=0)] = 0,
    track: Track = True,
) -> None:
    """Run the main job on a simulated cohort.

    Example: `stratify demo --out demo`
    """
    from stratify.simulation import write_study

    study = write_study(out / "study", n=n, seed=seed)
    typer.echo(f"Simulated study written to {study}.")
    train(study, out=out / "results", endpoint=None, track=track, store=None)


class Source(StrEnum):
    """What `init` reads."""

    ADAM = "adam"
    CBIOPORTAL = "cbioportal"


@app.command()
def init(
    folder: Annotated[
        Path, typer.Argument(help="Folder of the exported files.", show_default=False)
    ],
    source: Annotated[
        Source,
        typer.Option("--from", help="What the folder holds.", show_default=False),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the study.")] = Path("study"),
    regimen: Annotated[
        list[str] | None,
        typer.Option(help="ARM=CLASS, once for each arm, for example 'Drug A=anti_pd1_pdl1'."),
    ] = None,
) -> None:
    """Make a study of CDISC ADaM or cBioPortal files: panels and a study file.

    Example: `stratify init --from adam exports/adam --out trial --regimen "Drug A=anti_pd1_pdl1"`
    """
    from stratify.interchange import interchange
    from stratify.study import Study
    from stratify.tables.findings import lines_text

    arms = {}
    for pair in regimen or []:
        arm, _, level = pair.rpartition("=")
        if not arm:
            raise ArgumentError(f"--regimen is {pair!r}; ARM=CLASS is expected.")
        arms[arm.strip()] = level.strip()
    read = {"adam": interchange.from_adam, "cbioportal": interchange.from_cbioportal}[source]
    path = read(folder, out, regimens=arms)
    panels = ", ".join(f"panels/{panel.name}" for panel in sorted((out / "panels").iterdir()))
    typer.echo(f"Written to {out}: {path.name}, {panels}.")
    for note in Study.load(path).description.splitlines():
        typer.echo(f"- {note}")
    for name, lines in interchange.fill_ins(path).items():
        typer.echo(f"Fill in {name}: {path}, {lines_text(lines)}.")
    typer.echo(f"Then run: stratify validate {path}")


@app.command()
def validate(
    study: StudyFile,
    out: Annotated[Path | None, typer.Option("--out", help="Write the findings as CSV.")] = None,
) -> None:
    """Print every finding about a study's data; exit 10 if there are errors.

    Example: `stratify validate pipelines/studies/shim.yaml`
    """
    from stratify.cohort.cohort import read_cohort
    from stratify.study import Study
    from stratify.tables.tabular import write_table

    checked = Study.load(study)
    cohort = read_cohort(checked)
    table = cohort.findings.table()
    if out is not None:
        write_table(table, out)
    _show_findings(table)
    _show(cohort.attrition.drop(columns="n_remaining"), "Patients after each step")
    errors = int((table["severity"] == "error").sum())
    warnings = int((table["severity"] == "warning").sum())
    counts = [
        f"{n} {what}{'' if n == 1 else 's'}"
        for n, what in ((errors, "error"), (warnings, "warning"))
    ]
    typer.echo(f"{checked.name}: {', '.join(counts)}.")
    if errors:
        raise typer.Exit(DataError.exit_code)


@app.command()
def features(
    panel: Annotated[
        list[str] | None, typer.Option(help="Panel wanted; all by default. May be repeated.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the catalogue as .md, .csv or .parquet.")
    ] = None,
) -> None:
    """List the features that a model may use: unit, direction, time, definition, source.

    Example: `stratify features --panel ctdna`
    """
    from stratify.tables.catalogue import catalogue_markdown, feature_catalogue
    from stratify.tables.tabular import write_table, written_whole

    table = feature_catalogue(panel)
    if out is None:
        for row in table.itertuples():
            print(f"{row.name}\t{row.panel}\t{row.unit}\t{row.available_at}\t{row.title}")
        return
    if out.suffix == ".md":
        with written_whole(out) as temporary:
            temporary.write_text(catalogue_markdown(panel), encoding="utf-8")
    else:
        write_table(table, out)
    print(f"{len(table)} features in {out}")


@app.command()
def labels(
    study: StudyFile,
    out: OutFolder = Path("labels"),
    endpoint: Annotated[
        str | None, typer.Option(help="Endpoint rule in place of the study file's.")
    ] = None,
    all_regimens: Annotated[
        bool, typer.Option("--all-regimens", help="Label patients of every regimen.")
    ] = False,
) -> None:
    """Label patients by the endpoint rule and say why, without training.

    Example: `stratify labels pipelines/studies/inspire.yaml --out labels/inspire`
    """
    from stratify.endpoint import rule_name
    from stratify.experiment import experiment
    from stratify.study import Study

    if endpoint is not None:
        rule_name(endpoint)
    cohort = experiment.label(
        Study.load(study, endpoint=endpoint), out, eligible_only=not all_regimens
    )
    _report_findings(cohort.findings.table())
    counts = cohort.table.groupby(["cohort", "state", "reason"]).size().rename("n").reset_index()
    _show(counts, "Labels and their reasons")
    typer.echo(f"Labels in {out / 'labels.csv'}, report in {out / 'labels.html'}.")


@app.command()
def train(
    study: StudyFile,
    out: OutFolder = Path("results"),
    endpoint: Annotated[
        str | None, typer.Option(help="Endpoint rule in place of the study file's.")
    ] = None,
    track: Track = True,
    store: Store = None,
    log_patient_level: PatientLevel = False,
) -> None:
    """Train, calibrate, judge on patients the model never saw, explain, and log the run.

    Example: `stratify train pipelines/studies/chowell.yaml --out results/chowell`
    """
    from stratify.endpoint import rule_name
    from stratify.experiment import experiment
    from stratify.study import Study

    if endpoint is not None:
        rule_name(endpoint)  # known, or wrong usage: the study file is not to blame
    results = experiment.train(Study.load(study, endpoint=endpoint), out, progress=_progress())
    _report_findings(results.findings)
    _show(_headline(results), f"Model {results.model.version}, research use only")
    typer.echo(f"Results in {out}, model in {out / 'bundle'}, report in {out / 'report.html'}.")
    _track(results, out, store, track, log_patient_level)


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
) -> None:
    """Judge a bundle on external cohorts.

    Example: `stratify evaluate results/chowell/bundle pipelines/studies/shim.yaml --out
    results/shim`
    """
    from stratify.experiment import experiment

    if out.suffix == ".html":
        raise ArgumentError(f"--out is {out.name}; a folder is expected, or use stratify report.")
    folder = _bundle(bundle, store)
    if monitor:
        _monitor(folder, study, out, store if track else None, track=track)
        return
    results = experiment.evaluate(folder, study, out, progress=_progress())
    _report_findings(results.findings)
    _show(_headline(results), f"Model {results.model.version}, research use only")
    typer.echo(f"Results in {out}, report in {out / 'report.html'}.")
    _track(results, out, store, track, log_patient_level)


def _monitor(bundle: Path, study: Path, out: Path, store: str | None, *, track: bool) -> None:
    """Tell how new patients differ from those of training, and log it."""
    from stratify.experiment.monitoring import monitor
    from stratify.tracking.monitoring import ALERTS, log_monitoring

    found = monitor(bundle, study, out, progress=_progress())
    alerts = found.findings[found.findings["code"].isin(ALERTS)]
    _show_findings(alerts)
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
    from stratify.experiment import experiment
    from stratify.report.model_card import recalibration_statement

    model, performance = experiment.recalibrate(
        _bundle(bundle, None), study, out, what=what, progress=_progress()
    )
    _show(_before_and_after(performance), "Performance before and after, 95 % intervals")
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
    """How much `score` says of why."""

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
    policy: Annotated[
        Path | None,
        typer.Option(help="Policy (YAML) in place of the bundle's.", show_default=False),
    ] = None,
    explain: Annotated[
        Explain, typer.Option(help="Why: the strongest reasons, or every contribution.")
    ] = Explain.NONE,
    top: Annotated[int, typer.Option(help="Reasons told by --explain top.", min=1, max=20)] = 5,
    workers: Annotated[
        int | None, typer.Option(help="Processes for a registry; by default one a core.", min=1)
    ] = None,
    dask: Annotated[
        str | None, typer.Option(help="Dask scheduler, HOST:PORT or local, for a registry.")
    ] = None,
    store: Store = None,
) -> None:
    """Score the patients of a study; outcomes are not needed.

    With a folder for `--out`, files of any size are scored in parts with bounded memory; the same
    command resumes after an interruption.

    Example: `stratify score results/chowell/bundle new_patients.yaml --out scores.csv`
    """
    from collections import Counter

    from stratify.experiment import experiment

    folder = _bundle(bundle, store)
    if out.suffix.lower() in (".csv", ".parquet", ".xlsx"):
        if dask is not None or workers is not None:
            raise ArgumentError("--workers and --dask are for a registry; let --out be a folder.")
        scores = experiment.score(folder, study, out, policy=policy, explain=explain, top=top)
        n, counts = len(scores), Counter(scores["recommendation"].fillna("none"))
    else:
        if policy is not None:
            raise ArgumentError("--policy is for a file; a registry takes the bundle's policy.")
        import os

        from stratify.experiment.registry import score_registry

        scored = score_registry(
            folder,
            study,
            out,
            explain=explain.value,
            top=top,
            workers=workers or os.cpu_count() or 1,
            dask=dask,
            progress=_progress(),
        )
        _report_findings(scored.findings)
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

    folder = None if bundle is None else _bundle(bundle, store)
    results = run_effect(Study.load(study), out, bundle=folder, policy=policy, progress=_progress())
    for sentence in results.analysis.statements:
        typer.echo(sentence)
    typer.echo(f"Results in {out}, report in {out / 'effect.html'}, research use only.")
    if track:
        from stratify.tracking.effect_runs import log_effect

        typer.echo(f"MLflow run {log_effect(results, out, uri=store)}.")


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
) -> None:
    """Write the report of a bundle on a study, or of one patient, and nothing else.

    Example: `stratify report results/chowell/bundle pipelines/studies/shim.yaml --out shim.html`
    """
    from stratify.experiment import experiment

    if out.suffix != ".html":
        raise ArgumentError(f"--out is {out.name}; a file ending in .html is expected.")
    folder = _bundle(bundle, None)
    if patient is not None:
        experiment.report_patient(folder, study, patient, out, cohort=cohort)
        typer.echo(f"Patient report in {out}, research use only. It names the patient.")
        return
    if cohort is not None:
        raise ArgumentError("--cohort goes with --patient.")
    experiment.report_cohort(folder, study, out, progress=_progress())
    typer.echo(f"Report in {out}.")


@app.command()
def ui(
    store: Annotated[
        str, typer.Option("--store", help="Tracking URI, mlflow.db, or the folder that holds it.")
    ] = ".",
    port: Annotated[int, typer.Option(help="Port on loopback.", min=1, max=65535)] = 5000,
) -> None:
    """Open the experiments in the MLflow UI, on this machine only.

    Example: `stratify ui --store results`
    """
    from stratify.tracking.user_interface import serve_ui

    def ready(address: str) -> None:
        typer.echo(f"Open {address} (Ctrl-C stops it).")

    raise typer.Exit(serve_ui(store, port=port, ready=ready))


runs_app = typer.Typer(rich_markup_mode="markdown")
app.add_typer(runs_app, name="runs")


@runs_app.callback(invoke_without_command=True)
def runs(
    context: typer.Context,
    store: Annotated[
        str, typer.Option("--store", help="Tracking URI, mlflow.db, or the folder that holds it.")
    ] = ".",
    study: Annotated[str | None, typer.Option("--study", help="One study; default all.")] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", help="Metric shown, for example delta_auroc_vs_loris."),
    ] = None,
    most: Annotated[int, typer.Option("--most", help="Runs shown.", min=1)] = 20,
) -> None:
    """Compare runs, promote a model, send runs that wait.

    Without a command: a line for each cohort that judged a run.

    Example: `stratify runs --store results --metric auroc --metric brier_skill`
    """
    if context.invoked_subcommand is not None:
        return
    from stratify.tracking.comparison import compare_runs
    from stratify.tracking.user_interface import existing_store

    chosen = {"metrics": tuple(metric)} if metric else {}
    table = compare_runs(existing_store(store), experiment=study, most=most, **chosen)
    _show(table, "Runs, 95 % intervals, research use only", width=170)


@runs_app.command()
def promote(
    model: Annotated[str, typer.Argument(help="Registered model: the study's name.")],
    studies: Annotated[list[Path], typer.Argument(help="Study files with external cohorts.")],
    version: Annotated[
        str | None, typer.Option("--version", help="Version; default the candidate.")
    ] = None,
    store: Store = None,
) -> None:
    """Compare a candidate to the champion on external cohorts; promote it unless it is worse.

    Refused: a lower AUROC or a higher Brier score, paired, or a model that is not calibrated.

    Example: `stratify runs promote chowell pipelines/studies/shim.yaml --store results`
    """
    from stratify.errors import BundleError
    from stratify.tracking.promotion import promote as compare_and_promote
    from stratify.tracking.store import here

    found, table, run = compare_and_promote(
        model, studies, store=store or here(), version=version, progress=_progress()
    )
    _show(table, "Candidate and champion on the same patients, research use only", width=140)
    if found.refusals:
        raise BundleError(f"Not promoted (run {run}). {' '.join(found.refusals)}")
    typer.echo(f"Promoted to champion of {model} (run {run}).")


@runs_app.command()
def sync(
    queue: Annotated[
        Path, typer.Argument(help="Folder mlflow_queue, or the folder it is in.")
    ] = Path(),
    store: Store = None,
) -> None:
    """Send the runs that wait since their store could not be reached; none twice.

    Example: `stratify runs sync results --store https://mlflow.example.org`
    """
    from stratify.tracking.upload import sync as send

    sent = send(queue, uri=store)
    typer.echo(f"{len(sent)} run{'' if len(sent) == 1 else 's'} sent.")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors a user can mend end with a message and their exit code."""
    try:
        app(args=arguments, prog_name="stratify")
    except StratifyError as error:
        if isinstance(error, DataError) and error.findings is not None:
            _show_findings(error.findings[error.findings["severity"] == "error"], err=True)
        kind = "Tracking" if isinstance(error, TrackingError) else "Error"
        typer.echo(f"{kind}: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
