"""What the commands share: the application, their arguments, and what they print."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    rich_markup_mode=None,  # its formatting takes twice the time of all other imports
    context_settings={"max_content_width": 100},
)

StudyFile = Annotated[Path, typer.Argument(help="Study file (YAML).", show_default=False)]
BundleFolder = Annotated[
    str,
    typer.Argument(
        metavar="BUNDLE",
        help="Bundle folder written by train, ready:NAME, or models:/NAME@champion.",
        show_default=False,
    ),
]
OutFolder = Annotated[Path, typer.Option("--out", help="Folder for the results.")]
Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        help="MLflow tracking URI, or a folder. Default: MLFLOW_TRACKING_URI, else next to --out.",
    ),
]
Track = Annotated[bool, typer.Option("--track/--no-track", help="Log the run to MLflow.")]
PatientLevel = Annotated[
    bool,
    typer.Option(
        "--log-patient-level", help="Log scores, labels and attributions of each patient too."
    ),
]


def progress() -> Callable[[str], None]:
    """Return a function that prints a step and the seconds since now to stderr."""
    start = time.monotonic()

    def show(step: str) -> None:
        typer.echo(f"{time.monotonic() - start:6.1f} s  {step}", err=True)

    class Shown(logging.Handler):
        """Shows that loops are compiled, or that LightGBM scores."""

        def emit(self, record: logging.LogRecord) -> None:
            show(record.getMessage())

    for room in ("compiled", "trees"):
        logger = logging.getLogger(f"stratify.{room}")
        logger.setLevel(logging.INFO)
        logger.handlers = [Shown()]
    return show


def show_table(table: pd.DataFrame, title: str, *, width: int = 120) -> None:
    """Print a table; in files and pipes with ``width`` characters a line."""
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


def show_findings(table: pd.DataFrame, *, err: bool = False) -> None:
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


def headline(results: Results) -> pd.DataFrame:
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


def show_decisions(results: Results) -> None:
    """Print what the policy decided in every cohort but the training patients, if it decides."""
    from stratify.report.figures import estimate
    from stratify.report.page_table import metric_words

    rows = results.performance
    rows = rows[(rows["subgroup"] == "all") & (rows["split"] != "train")]
    rows = rows[
        rows["metric"].str.startswith(("share_decided", "share_measure", "share_refer", "error_"))
    ]
    policy = results.model.policy
    if policy is None or not len(rows):
        return
    cells = [
        estimate(row["value"], row["low"], row["high"], 2)
        + (f" of {row['n']}" if row["metric"].startswith("error_") and row["n"] else "")
        for row in rows.to_dict("records")
    ]
    keys = ["cohort", "split"]
    sizes = rows[rows["metric"] == "share_decided"].set_index(keys)["n"].rename("n")
    table = rows.assign(cell=cells).pivot(index=keys, columns="metric", values="cell")  # noqa: PD010
    table = table.loc[sizes.index, list(dict.fromkeys(rows["metric"]))].rename(columns=metric_words)
    show_table(sizes.to_frame().join(table).reset_index(), policy.statement(), width=140)


def print_findings(table: pd.DataFrame) -> None:
    """Print how many findings of each code there are, those of mere information left out."""
    notable = table[table["severity"] != "info"]
    if len(notable):
        counts = ", ".join(f"{code} ({n})" for code, n in notable["code"].value_counts().items())
        typer.echo(f"Findings: {counts}. See findings.csv.", err=True)


def log_run(
    results: Results, out: Path, store: str | None, track: bool, patient_level: bool = False
) -> None:
    """Log a run to MLflow, unless it is not to be tracked, and print how to open it."""
    if not track:
        return
    from stratify.tracking.runs import log_results
    from stratify.tracking.store import default_store, shown

    uri = store or default_store(out)
    run = log_results(results, out, uri=uri, patient_level=patient_level)
    own = uri == f"sqlite:///{out.resolve().parent / 'mlflow.db'}"
    where = str(out.parent) if own else shown(uri)
    typer.echo(f"MLflow run {run}. Open it with: stratify ui --store {where}")


def bundle_folder(name: str, store: str | None) -> Path:
    """Folder of a bundle, looked up in a store if it is named by its place there."""
    from stratify.tracking import registry

    if not registry.is_registered(name):
        from stratify.scoring.ready import folder_of

        return folder_of(name)
    from stratify.tracking.store import here

    return registry.bundle_folder(name, store or here())
