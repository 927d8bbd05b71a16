"""The logged model behind ``mlflow models serve``: same values, bad input told, many clients."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stratify import Study, load, read_cohort, train
from stratify.tracking.request import score_request
from stratify.tracking.runs import log_results
from team.conftest import free_port, stopped, wait_for

pytestmark = pytest.mark.team
CLIENTS, REQUESTS = 50, 2000
JSON, CSV = "application/json", "text/csv"


@dataclass(frozen=True)
class Served:
    """A server with the candidate of a store, and the library's model beside it."""

    port: int
    model: Any
    patients: pd.DataFrame
    log: Path

    def post(self, body: bytes, kind: str, connection: Any = None) -> tuple[int, bytes]:
        own = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        own.request("POST", "/invocations", body, {"Content-Type": kind})
        answer = own.getresponse()
        told = answer.status, answer.read()
        if connection is None:
            own.close()
        return told

    def scores(self, body: bytes, kind: str) -> pd.DataFrame:
        status, answer = self.post(body, kind)
        assert status == 200, answer[:2000]
        return pd.DataFrame(json.loads(answer)["predictions"])


@pytest.fixture(scope="module")
def served(studies: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    study = Study.load(studies[0])
    log_results(train(study, folder / "out"), folder / "out")
    table = read_cohort(study, outcomes=False, eligible_only=False).table
    model = load(folder / "out" / "bundle")
    patients = table[["patient_id", *model.classifier.features_]].reset_index(drop=True)
    patients["patient_id"] = [f"{i:04d}" for i in range(len(patients))]
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/demo@candidate"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--workers", "2"],
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={
                **os.environ,
                "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
                # MLflow starts the server by the name of a program
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            },
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/ping", server)
        yield Served(port, model, patients, folder / "log")
    finally:
        stopped(server)


def records(table: pd.DataFrame) -> bytes:
    """As JSON; floats with all their digits, missing values as null."""
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return json.dumps({"dataframe_records": rows}).encode()


def same(served: pd.DataFrame, library: pd.DataFrame) -> None:
    assert list(served) == list(library)
    for name, column in library.items():
        here = served[name]
        if pd.api.types.is_float_dtype(column):
            np.testing.assert_allclose(here.astype(float), column, rtol=0, atol=1e-9, err_msg=name)
        else:
            assert here.fillna("").tolist() == column.fillna("").tolist(), name


def test_json_and_csv_are_the_librarys_values(served):
    library = score_request(served.model, served.patients)

    same(served.scores(records(served.patients), JSON), library)
    split = json.loads(served.patients.to_json(orient="split", index=False, double_precision=15))
    as_split = json.dumps({"dataframe_split": split}).encode()
    same(served.scores(as_split, JSON), library)
    same(served.scores(served.patients.to_csv(index=False).encode(), CSV), library)
    assert library["risk"].notna().all()
    assert library["patient_id"].tolist()[:2] == ["0000", "0001"]


def test_whole_numbers_and_yes_no_are_read(served):
    rows = [{"patient_id": "1", "age": 61, "msi_high": True, "tmb": 9, "cancer_type": "nsclc"}]
    floats = pd.DataFrame(rows).astype({"age": float, "msi_high": float, "tmb": float})

    found = served.scores(json.dumps({"dataframe_records": rows}).encode(), JSON)

    same(found, score_request(served.model, floats))
    assert "age" not in found.loc[0, "features_missing"].split(";")


def test_bad_rows_get_findings_and_the_others_a_risk(served):
    good = {"patient_id": "good", "albumin": 3.9, "tmb": 5.0}
    rows = [
        good,
        {"patient_id": "negative", "albumin": -3.0},
        {"patient_id": "infinite", "tmb": float("inf")},
        {"patient_id": "not a number", "tmb": float("nan"), "albumin": 3.9},
        {"patient_id": "level", "cancer_type": "no such tumour"},
        {"patient_id": "long", "cancer_type": "x" * 10_000_000},
        {"patient_id": None, "albumin": 3.9},
    ]

    found = served.scores(json.dumps({"dataframe_records": rows}).encode(), JSON)

    assert found["findings"].fillna("").tolist() == [
        "",
        "outside_limits:albumin",
        "not_numeric:tmb",
        "",
        "unknown_category:cancer_type",
        "unknown_category:cancer_type",
        "missing_identifier:patient_id",
    ]
    assert found["risk"].notna().tolist() == [True, False, False, True, False, False, False]
    alone = score_request(served.model, pd.DataFrame([good]))
    assert found.loc[0, "risk"] == pytest.approx(alone.loc[0, "risk"], abs=1e-9)


@pytest.mark.parametrize(
    ("body", "kind", "status", "told"),
    [
        (b"{", JSON, 400, "Ensure that input is a valid JSON formatted string"),
        (b"[]", JSON, 400, "Received a list"),
        (b'{"rows": []}', JSON, 400, "must be a JSON dictionary with exactly one of"),
        (b'{"dataframe_records": []}', JSON, 400, "The request has no patient, or none of"),
        (
            b'{"dataframe_records": [{"albumine": 3.9}]}',
            JSON,
            400,
            "none of the model's features. Expected, any of them absent: ",
        ),
        (
            b'{"dataframe_records": [{"albumin": "a lot"}]}',
            JSON,
            400,
            "Failed to convert column albumin to type 'float64'",
        ),
        (
            b'{"dataframe_records": [{"patient_id": "1"}, {"patient_id": "1", "tmb": 2}]}',
            JSON,
            400,
            "1 rows repeat a patient_id; send one row a patient.",
        ),
        (b"patient_id,albumin\n1,2,3,4\n", CSV, 400, "Rows have more fields than the header"),
        (b"albumin;tmb\n3,9;5\n", CSV, 400, "none of the model's features"),
        (b"albumin\na lot\n", CSV, 400, "could not convert string to float"),
        (b"x" * 10_000_000, JSON, 400, "Ensure that input is a valid JSON"),
        (b"x", "text/html", 415, "only supports the following content types"),
        (b"\xff\xfe", CSV, 400, "valid UTF-8"),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_read_is_answered_with_the_reason(
    served, body, kind, status, told
):
    code, answer = served.post(body, kind)

    assert (code, told in answer.decode()) == (status, True), answer[:3000]


def test_fifty_clients_at_once(served):
    """2,000 requests of 1 to 100 patients: no error, the library's values, p99 told."""
    rng = np.random.default_rng(0)
    library = score_request(served.model, served.patients).set_index("patient_id")["risk"]
    sizes = rng.integers(1, 101, REQUESTS)
    bodies, wanted = [], []
    for size in sizes:
        part = served.patients.iloc[rng.choice(len(served.patients), size, replace=False)]
        bodies.append(records(part))
        wanted.append(library[part["patient_id"]].to_numpy())
    own, opened = threading.local(), []

    def ask(k: int) -> tuple[float, int, float]:
        if not hasattr(own, "connection"):
            own.connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=300)
            opened.append(own.connection)
        began = time.perf_counter()
        status, answer = served.post(bodies[k], JSON, own.connection)
        took = time.perf_counter() - began
        risks = [row["risk"] for row in json.loads(answer)["predictions"]] if status == 200 else []
        gap = np.abs(np.array(risks) - wanted[k]).max() if status == 200 else np.inf
        return took, status, float(gap)

    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = list(clients.map(ask, range(REQUESTS)))
    seconds = time.perf_counter() - began
    for connection in opened:
        connection.close()

    took, statuses, gaps = map(np.array, zip(*answers, strict=True))
    p50, p99 = np.quantile(took, [0.5, 0.99])
    print(
        f"\n{REQUESTS} requests, {sizes.sum()} patients, {CLIENTS} clients: {seconds:.1f} s, "
        f"{REQUESTS / seconds:.1f} requests/s, p50 {p50:.3f} s, p99 {p99:.3f} s, "
        f"largest difference {gaps.max():.1e}"
    )
    assert set(statuses) == {200}
    assert gaps.max() <= 1e-9
