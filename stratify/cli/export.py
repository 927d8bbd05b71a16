"""Scores and labels written in a format of trials or portals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stratify.cli.terminal import app


@app.command()
def export(
    name: Annotated[
        str, typer.Argument(metavar="FORMAT", help="adam, cbioportal, or one that is installed.")
    ],
    scores: Annotated[Path, typer.Option(help="Scores as `stratify score` writes them.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the files.")],
    labels: Annotated[
        Path | None, typer.Option(help="Labels as `stratify labels` writes them.")
    ] = None,
) -> None:
    """Write scores and labels as CDISC ADaM, for cBioPortal, or in an installed format.

    Example: `stratify export adam --scores scores.csv --labels labels.csv --out adam`
    """
    from stratify.interchange.exports import read_result, write_export

    states = None if labels is None else read_result(labels, "labels")
    files = write_export(name, read_result(scores, "scores"), states, out)
    typer.echo(f"Written to {out}, research use only: {', '.join(path.name for path in files)}.")
