"""Commands on the runs in MLflow: open, compare, promote, send."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stratify.cli.terminal import Store, app, progress, show_table

runs_app = typer.Typer(rich_markup_mode=None)
app.add_typer(runs_app, name="runs")


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
    show_table(table, "Runs, 95 % intervals, research use only", width=170)


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
        model, studies, store=store or here(), version=version, progress=progress()
    )
    show_table(table, "Candidate and champion on the same patients, research use only", width=140)
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
