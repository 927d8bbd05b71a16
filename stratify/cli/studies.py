"""Commands on studies: simulate, make, check, label; the list of features."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from stratify.cli.terminal import (
    OutFolder,
    StudyFile,
    Track,
    app,
    print_findings,
    show_findings,
    show_table,
)
from stratify.errors import ArgumentError, DataError


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
    from stratify.cli.models import train
    from stratify.simulation import write_study

    study = write_study(out / "study", n=n, seed=seed)
    typer.echo(f"Simulated study written to {study}.")
    train(study, out=out / "results", endpoint=None, workers=1, track=track, store=None)


class Source(StrEnum):
    """What `init` reads."""

    ADAM = "adam"
    CBIOPORTAL = "cbioportal"
    TABLE = "table"


@app.command()
def init(
    folder: Annotated[
        Path,
        typer.Argument(help="Folder of the exported files, or the table.", show_default=False),
    ],
    source: Annotated[
        Source,
        typer.Option(
            "--from", help="What the folder holds; table: one row a patient.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the study.")] = Path("study"),
    regimen: Annotated[
        list[str] | None,
        typer.Option(
            help="ARM=CLASS, once for each arm, for example 'Drug A=anti_pd1_pdl1'; '*=CLASS' for "
            "all patients of a table."
        ),
    ] = None,
) -> None:
    """Make a study of CDISC ADaM, cBioPortal or a table of patients: panels and a study file.

    Example: `stratify init --from adam exports/adam --out trial --regimen "Drug A=anti_pd1_pdl1"`
    """
    from stratify.interchange import formats
    from stratify.study import Study
    from stratify.tables.findings import lines_text

    arms = {}
    for pair in regimen or []:
        arm, _, level = pair.rpartition("=")
        if not arm:
            raise ArgumentError(f"--regimen is {pair!r}; ARM=CLASS is expected.")
        arms[arm.strip()] = level.strip()
    path = formats.make_study(source, folder, out, regimens=arms)
    panels = ", ".join(f"panels/{panel.name}" for panel in sorted((out / "panels").iterdir()))
    typer.echo(f"Written to {out}: {path.name}, {panels}.")
    for note in Study.load(path).description.splitlines():
        typer.echo(f"- {note}")
    for name, lines in formats.fill_ins(path).items():
        typer.echo(f"Fill in {name}: {path}, {lines_text(lines)}.")
    typer.echo(f"Then run: stratify validate {path}")
    if "outcomes" not in panels:
        typer.echo(f"Or score it: stratify score ready:pan-cancer {path} --out scores.csv")


@app.command()
def pairs(
    study: StudyFile,
    out: Annotated[Path, typer.Option("--out", help="Table (CSV) of all pairs.")] = Path(
        "pairs.csv"
    ),
) -> None:
    """Test which biomarkers act together beyond each alone, on the study's training patients.

    Example: `stratify pairs pipelines/studies/chowell.yaml --out pairs.csv`
    """
    from stratify.cli.terminal import progress
    from stratify.experiment.pairs import pairs_of

    found, sentences = pairs_of(study, out, progress=progress())
    shown = found.head(5)[["title", "other_title", "size", "p", "q", "turns", "cohorts"]]
    show_table(shown.round({"size": 3, "p": 4, "q": 3}), "Strongest pairs")
    for sentence in sentences:
        typer.echo(sentence)
    typer.echo(f"All pairs in {out}, research use only.")


@app.command()
def validate(
    study: StudyFile,
    out: Annotated[Path | None, typer.Option("--out", help="Write the findings as CSV.")] = None,
) -> None:
    """Print all faults of a study file and findings of its data; exit 10 if there are errors.

    Example: `stratify validate pipelines/studies/shim.yaml`
    """
    from stratify.cohort.study_check import check_study
    from stratify.tables.tabular import write_table

    checked = check_study(study)
    table = checked.findings.table()
    if out is not None:
        write_table(table, out)
    show_findings(table)
    if checked.attrition is not None:
        show_table(checked.attrition.drop(columns="n_remaining"), "Patients after each step")
    errors = int((table["severity"] == "error").sum())
    warnings = int((table["severity"] == "warning").sum())
    counts = [
        f"{n} {what}{'' if n == 1 else 's'}"
        for n, what in ((errors, "error"), (warnings, "warning"))
    ]
    typer.echo(f"{checked.name}: {', '.join(counts)}.")
    typer.echo(checked.statement)
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
            typer.echo(f"{row.name}\t{row.panel}\t{row.unit}\t{row.available_at}\t{row.title}")
        return
    if out.suffix == ".md":
        with written_whole(out) as temporary:
            temporary.write_text(catalogue_markdown(panel), encoding="utf-8")
    else:
        write_table(table, out)
    typer.echo(f"{len(table)} features in {out}")


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
    from stratify.endpoint import endpoint_rule
    from stratify.experiment import reporting
    from stratify.study import Study

    if endpoint is not None:
        endpoint_rule(endpoint)
    cohort = reporting.label(
        Study.load(study, endpoint=endpoint), out, eligible_only=not all_regimens
    )
    print_findings(cohort.findings.table())
    counts = cohort.table.groupby(["cohort", "state", "reason"]).size().rename("n").reset_index()
    show_table(counts, "Labels and their reasons")
    typer.echo(f"Labels in {out / 'labels.csv'}, report in {out / 'labels.html'}.")
