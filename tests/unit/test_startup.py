"""What is loaded at start, by ``-X importtime``: within a budget, no heavy package."""

from __future__ import annotations

import re
import resource
import subprocess
import sys

import pandas as pd
import pytest

from stratify.scoring import load

HEAVY = {"lightgbm", "matplotlib", "mlflow", "numba", "optuna", "scipy", "shap"}
HEAVY |= {"sklearn", "statsmodels", "dask", "distributed"}
ABSENT = ["econml", "mlflow", "optuna", "pandera"]
IMPORTED = f"""\
import sys
sys.modules.update(dict.fromkeys({ABSENT}))
import pkgutil
from importlib import import_module
import stratify
for module in pkgutil.walk_packages(stratify.__path__, "stratify."):
    if not module.name.startswith(("stratify.tracking", "stratify.cli.__main__")):
        import_module(module.name)
"""
SCORED = f"""\
import sys
sys.modules.update(dict.fromkeys({ABSENT}))
import pandas as pd
import stratify
from stratify.scoring import load
load(sys.argv[1]).score_table(pd.read_pickle(sys.argv[2])).to_pickle(sys.argv[3])
"""


def loaded(*arguments: str) -> tuple[dict[str, int], str]:
    """Own microseconds of each module imported, and what was printed."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True, check=True
    )
    rows = re.findall(r"^import time: +(\d+) \| +\d+ \| +(\S+)$", done.stderr, flags=re.MULTILINE)
    return {name: int(own) for own, name in rows}, done.stdout


def processor_seconds(*arguments: str) -> float:
    """Processor time of a Python process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


@pytest.mark.parametrize(
    ("arguments", "budget_ms"),
    [
        (("-c", "import stratify"), 300),
        (("-m", "stratify.cli", "--help"), 500),
    ],
)
def test_start_is_quick_and_loads_nothing_heavy(arguments, budget_ms):
    """Of processor time: the machine may be busy with other things."""
    modules, printed = loaded(*arguments)
    assert not HEAVY & {name.partition(".")[0] for name in modules}
    assert "stratify" in modules
    if arguments[0] == "-m":
        assert "Research use only" in " ".join(printed.split())
    assert 1000 * min(processor_seconds(*arguments) for _ in range(3)) < budget_ms


def test_importing_the_package_takes_little_beside_pandas_and_numpy():
    modules, _ = loaded("-c", "import stratify")
    own = [name for name in modules if name.partition(".")[0] == "stratify"]
    assert own == ["stratify"]


def test_all_but_tracking_is_imported_where_these_are_not_installed():
    subprocess.run([sys.executable, "-c", IMPORTED], check=True)


def test_a_table_is_scored_where_what_scoring_does_not_need_is_not_installed(
    model, patients, tmp_path
):
    bundle, table, scores = (tmp_path / name for name in ("bundle", "table", "scores"))
    model.save(bundle)
    patients.to_pickle(table)
    subprocess.run([sys.executable, "-c", SCORED, bundle, table, scores], check=True)
    pd.testing.assert_frame_equal(pd.read_pickle(scores), load(bundle).score_table(patients))
