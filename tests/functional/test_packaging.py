"""The wheel holds what the package reads at run time, and works away from the checkout."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import stratify
from stratify.tables.documents import schemas_folder

ROOT = Path(__file__).parents[2]
# Where the dictionaries come from, and whether what the package reads from them works.
PROBE = """\
import json, stratify
from stratify.endpoint import endpoint_rules
from stratify.tables.schema import load_schema, panel_versions
from stratify.tables.documents import schemas_folder
from stratify.study import Study
study = Study.model_validate({"stratify": 1, "name": "a", "cohorts": [{"name": "a", "tables": [
    {"file": "a.csv", "patient_id": "ID", "panels": {"clinical": {"albumin": "ALB"}}}]}]})
print(json.dumps({
    "package": stratify.__file__,
    "schemas": str(schemas_folder()),
    "panels": panel_versions(),
    "rules": list(endpoint_rules()),
    "endpoint": study.endpoint.name,
    "findings": len(load_schema("findings").codes),
}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder)]
    command += ["--disable-pip-version-check", "--retries", "0", "--timeout", "10"]
    if importlib.util.find_spec("hatchling"):
        command.append("--no-build-isolation")
    built = subprocess.run([*command, str(ROOT)], capture_output=True, text=True)
    unreachable = (
        "No matching distribution found for hatchling",
        "NewConnectionError",
        "timed out",
    )
    if built.returncode and any(text in built.stderr for text in unreachable):
        pytest.skip("hatchling is neither installed nor to be had from a package registry")
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


def probed(path: Path, cwd: Path) -> dict[str, object]:
    environment = {**os.environ, "PYTHONPATH": str(path)}
    command = [sys.executable, "-c", PROBE]
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=True
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_the_wheel_is_named_and_typed(wheel):
    assert wheel.name == f"stratify_immuno-{stratify.__version__}-py3-none-any.whl"
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "stratify/py.typed" in names
    assert {name.partition("/")[0] for name in names} == {
        "stratify",
        f"stratify_immuno-{stratify.__version__}.dist-info",
    }


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("stratify", "stratify"),
        ("data_schemas", "stratify/data_schemas"),
    ],
)
def test_the_wheel_holds_every_module_template_and_dictionary(wheel, source, target):
    names = set(zipfile.ZipFile(wheel).namelist())
    kinds = {".py", ".yaml", ".j2", ".css", ".typed"}
    files = [path for path in (ROOT / source).rglob("*") if path.suffix in kinds]
    expected = {f"{target}/{path.relative_to(ROOT / source).as_posix()}" for path in files}

    assert len(expected) >= 12
    assert expected <= names


def test_the_unpacked_wheel_reads_its_own_dictionaries(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    (tmp_path / "elsewhere").mkdir()

    found = probed(tmp_path / "site", tmp_path / "elsewhere")

    assert found["package"] == str(tmp_path / "site" / "stratify" / "__init__.py")
    assert found["schemas"] == str(tmp_path / "site" / "stratify" / "data_schemas")
    assert found == {
        **probed(ROOT, tmp_path),
        "package": found["package"],
        "schemas": found["schemas"],
    }


def test_a_checkout_reads_the_dictionaries_beside_the_package(tmp_path):
    found = probed(ROOT, tmp_path)

    assert found["package"] == str(ROOT / "stratify" / "__init__.py")
    assert found["schemas"] == str(ROOT / "data_schemas") == str(schemas_folder())
    assert found["endpoint"] == "proxy_pfs6"
