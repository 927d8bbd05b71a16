"""Every row of the table in BENCHMARKS.md, measured on this machine.

    python tests/bench/run.py [GROUP ...] [--rounds 5] [--results bench.json]
    python tests/bench/run.py --write BENCHMARKS.md --check

Groups are measured one by one, in a process of their own each, and kept in the results file, so
that a row can be measured again alone. ``tests/bench/bounds.json`` holds what is aimed at, and what
``--check`` asks of the ratios: about half of what was measured when it was committed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

HERE = Path(__file__).parent
PACKAGES = ("numpy", "pandas", "numba", "lightgbm", "shap", "xgboost", "woodelf-explainer", "dask")


def groups(folder: Path, rounds: int) -> dict[str, Callable[[], Iterator[object]]]:
    """What can be measured, by name; imported when asked for."""
    import search
    import trees
    import work

    return {
        "files": lambda: work.files(folder),
        "trees": lambda: trees.rows(rounds),
        "patient": lambda: work.one_patient(folder, rounds),
        "intervals": lambda: work.intervals(rounds),
        "registry": lambda: work.registries(folder),
        "dask": lambda: work.on_dask(folder),
        "search": search.rows,
        "start": lambda: work.the_start(rounds),
    }


def machine() -> str:
    """Describe the machine and the packages."""
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if os.name == "posix" else []:
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return (
        f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, {', '.join(found)}"
    )


def table(results: dict[str, list[list[object]]]) -> str:
    """Results as a Markdown table."""
    lines = ["| work | against | min | median | max | aim | |", "|---|---|---|---|---|---|---|"]
    bounds = json.loads((HERE / "bounds.json").read_text())
    for rows in results.values():
        for work, against, found, unit, note in rows:
            shown = " | ".join(_shown(value, unit) for value in found)
            aim = bounds.get(_named(work, against), ("", 0, ""))[2]
            told = f"**missed** {note}" if missed(aim, found[1]) else note
            lines.append(f"| {work} | {against} | {shown} | {aim} | {told.strip()} |")
    return "\n".join(lines)


def missed(aim: str, median: float) -> bool:
    """Whether a median does not reach what is aimed at, such as ``20x, better 40x`` or ``< 3 GiB``.

    >>> missed("20x, better 40x", 19.0), missed("< 3 GiB", 2.1), missed("within 0.005", -0.01)
    (True, False, True)
    """
    number = re.search(r"\d[\d.]*(e-\d+)?", aim)
    if number is None:
        return False
    bound = float(number[0])
    if aim.startswith("within") and not aim.endswith("x"):
        return median < -bound  # a difference in our favour is none to be limited
    if aim.startswith(("<", "within")) or bound == 0:
        return median > bound
    return median < bound


def _named(work: object, against: object) -> str:
    """Name of a row in the bounds, whatever the version of the peer."""
    return re.sub(r" \d+\.\d+(\.\d+)?", "", f"{work} | {against}")


def _shown(value: float, unit: str) -> str:
    if unit == "" and 0 < value < 1e-3:
        return f"{value:.0e}"
    return f"{value:,.0f}{unit}" if value >= 100 else f"{value:.3g}{unit}"


def check(results: dict[str, list[list[object]]]) -> list[str]:
    """Rows whose median lies beyond its committed bound."""
    bounds = json.loads((HERE / "bounds.json").read_text())
    found = {_named(*row[:2]): row for rows in results.values() for row in rows}
    faults = []
    for name, (side, bound, _) in bounds.items():
        if name not in found:
            continue  # a peer that is not installed, or a group that was not asked for
        median = found[name][2][1]
        if (median < bound) if side == "least" else (median > bound):
            faults.append(f"{name}: {median:.3g}; {side} {bound:g} is expected")
    return faults


def main() -> None:
    """Measure, write, check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("groups", nargs="*")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("bench"))
    parser.add_argument("--write", type=Path)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    path = options.folder / "results.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    known = groups(options.folder, options.rounds)
    chosen = options.groups or ([] if options.write or options.check else list(known))
    for name in chosen if len(chosen) > 1 else []:
        command = [sys.executable, __file__, name, "--rounds", str(options.rounds)]
        sys.stderr.write(f"{time.strftime('%H:%M:%S')}  {name}\n")
        subprocess.run([*command, "--folder", str(options.folder)], check=True)
    for name in chosen if len(chosen) == 1 else []:
        rows = []
        for row in known[name]():
            rows.append(list(row))
            sys.stderr.write(f"{row.work} | {row.against} | {row.found} {row.note}\n")
        results[name] = rows
        path.write_text(json.dumps(results, indent=1))
    if options.write:
        text = options.write.read_text() if options.write.exists() else "# Benchmarks\n"
        head = text.partition("<!-- measured -->")[0].rstrip()
        options.write.write_text(
            f"{head}\n\n<!-- measured -->\nMachine: {machine()}.\n\n{table(results)}\n"
        )
    if options.check and (faults := check(results)):
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
