"""The command line: each command a thin call of the library.

Exit codes: 0 ok, 2 wrong usage, 10 data have errors, 11 cohort unusable, 12 bundle mismatch or
altered, 13 file unreadable or unwritable, 14 tracking unavailable (results are on disk).
"""

from __future__ import annotations

import sys

import typer

# isort: off
# In the order of --help.
from stratify.cli import studies, models, export, runs  # noqa: F401
# isort: on

from stratify.cli.terminal import app, show_findings
from stratify.errors import DataError, StratifyError, TrackingError

__all__ = ["app", "main"]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors a user can mend end with a message and their exit code."""
    try:
        app(args=arguments, prog_name="stratify")
    except StratifyError as error:
        if isinstance(error, DataError) and error.findings is not None:
            show_findings(error.findings[error.findings["severity"] == "error"], err=True)
        kind = "Tracking" if isinstance(error, TrackingError) else "Error"
        typer.echo(f"{kind}: {error}", err=True)
        sys.exit(error.exit_code)
