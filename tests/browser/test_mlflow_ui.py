"""What a reviewer sees in the MLflow UI: experiments, runs, a comparison, a run, a model.

Each page is told by texts that have to be on it, and kept as a picture in build/browser.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from stratify import Study, train
from stratify.simulation import write_study
from stratify.study.model_settings import ModelSettings
from stratify.tracking.promotion import promote
from stratify.tracking.runs import log_results
from stratify.tracking.user_interface import page as address
from team.conftest import free_port, stopped, wait_for

pytestmark = pytest.mark.browser
STUDIES = Path(__file__).parents[2] / "pipelines" / "studies"
DATA = Path(os.environ.get("STRATIFY_DATA", "../shared/data"))
PATIENCE = 90_000  # milliseconds
SIZE = {"width": 1500, "height": 950}


@dataclass
class Reviewed:
    """A store with three trainings of one study, the UI before it, and a page of the browser."""

    study: str
    cohort: str
    store: str
    port: int
    page: Any
    pictures: Path

    def shows(self, path: str, *texts: str, name: str) -> None:
        """Open a page, wait for its texts, and keep a picture of it."""
        self.page.goto("about:blank")  # else the UI would keep parts of the page before
        self.page.goto(address(self.port, path), wait_until="domcontentloaded", timeout=PATIENCE)
        for text in texts:
            self.page.get_by_text(text).first.wait_for(timeout=PATIENCE)
        offer = self.page.get_by_label("Close", exact=True)
        if offer.count():  # MLflow's own offer to chat
            offer.first.click()
        self.page.wait_for_timeout(1500)  # pictures and tables are drawn after their texts
        self.page.screenshot(path=self.pictures / f"mlflow_{self.study}_{name}.png")

    @property
    def client(self) -> Any:
        import mlflow

        return mlflow.MlflowClient(self.store)

    @property
    def experiment(self) -> str:
        return str(self.client.get_experiment_by_name(self.study).experiment_id)

    @property
    def trainings(self) -> list[Any]:
        return list(self.client.search_runs([self.experiment], "tags.kind = 'training'"))


def demo(folder: Path) -> tuple[list[Path], str, str]:
    """Three versions of the demo study, small; cohort that judges them."""
    path = write_study(folder / "study", n=300, seed=1)
    return [path], "demo", "simulated_external"


def chowell(folder: Path) -> tuple[list[Path], str, str]:
    return [STUDIES / "chowell.yaml", STUDIES / "shim.yaml"], "chowell", "chowell_test"


@pytest.fixture(scope="module", params=[demo, chowell], ids=["demo", "chowell"])
def reviewed(request, browser, pictures, tmp_path_factory) -> Iterator[Reviewed]:
    if request.param is chowell and not (DATA / "loris").is_dir():
        pytest.skip("the public cohorts are absent; set STRATIFY_DATA")
    folder = tmp_path_factory.mktemp("reviewed")
    paths, study, cohort = request.param(folder)
    store = f"sqlite:///{folder / 'mlflow.db'}"
    small = {"n_members": 4, "calibration_folds": 3}
    for k, trees in enumerate((20, 60, 120)):
        settings = ModelSettings(**small, n_estimators=trees)
        loaded = Study.load(paths[0]).model_copy(update={"model": settings})
        out = folder / f"version{k + 1}"
        log_results(train(loaded, out), out, uri=store)
        if k == 0:
            promote(study, [paths[-1]], store=store)
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "stratify.cli", "ui", "--store", folder, "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    began = time.monotonic()
    try:
        wait_for(f"http://127.0.0.1:{port}/health", server)
        print(f"UI answered after {time.monotonic() - began:.1f} s")
        page = browser.new_page(viewport=SIZE)
        yield Reviewed(study, cohort, store, port, page, pictures)
        page.close()
    finally:
        stopped(server)


def test_the_list_of_experiments(reviewed):
    reviewed.shows("experiments", "Experiments", reviewed.study, name="1_experiments")


def test_the_ui_opens_on_model_training_not_on_chat_models(reviewed):
    reviewed.shows(f"experiments/{reviewed.experiment}/runs", "Runs", name="2_runs")

    assert reviewed.page.get_by_text("Model training").first.is_visible()
    assert not reviewed.page.get_by_text("Prompts").count()


def test_runs_with_chosen_columns(reviewed):
    place = reviewed.cohort
    path = f"experiments/{reviewed.experiment}/runs"
    reviewed.shows(path, "Views", name="2_runs")
    page = reviewed.page
    page.set_viewport_size({"width": 1900, "height": 560})  # columns out of sight are not there
    page.get_by_test_id("saved-views-trigger").click()
    page.get_by_text("Unseen cohorts", exact=True).first.click()
    for name in ("auroc", "delta_auroc_vs_loris", "brier_skill", "calibration_slope"):
        header = page.get_by_role("columnheader").filter(has_text=f"{place}/{name}")
        header.first.wait_for(timeout=PATIENCE)
    for name in ("endpoint_rule", "data_sha256"):
        header = page.get_by_role("columnheader").filter(has_text=name)
        header.first.wait_for(state="attached", timeout=PATIENCE)
    run = reviewed.trainings[0]
    shown = str(run.data.metrics[f"{place}/auroc"])[:5]
    page.get_by_text(shown).first.wait_for(timeout=PATIENCE)
    page.wait_for_timeout(1500)
    page.screenshot(path=reviewed.pictures / f"mlflow_{reviewed.study}_3_columns.png")
    page.set_viewport_size(SIZE)


def test_three_runs_compared(reviewed):
    ids = [run.info.run_id for run in reviewed.trainings]
    assert len(ids) == 3
    query = f"runs={quote(json.dumps(ids))}&experiments={quote(json.dumps([reviewed.experiment]))}"
    page = reviewed.page
    page.goto(
        f"http://127.0.0.1:{reviewed.port}/#/compare-runs?{query}&workflowType=machine_learning",
        wait_until="domcontentloaded",
        timeout=PATIENCE,
    )
    page.get_by_text("Comparing 3 Runs from 1 Experiment").wait_for(timeout=PATIENCE)
    page.get_by_text("Run details").wait_for(timeout=PATIENCE)
    page.wait_for_timeout(1500)
    page.screenshot(path=reviewed.pictures / f"mlflow_{reviewed.study}_4_compared.png")


def test_a_run_leads_with_its_headline(reviewed):
    run = reviewed.trainings[0]
    headline = run.data.tags["mlflow.note.content"].partition("**")[2].partition("**")[0]
    reviewed.shows(
        f"experiments/{reviewed.experiment}/runs/{run.info.run_id}",
        run.data.tags["model_version"],
        headline,
        f"{reviewed.cohort}/auroc",
        name="5_run",
    )


def test_curves_are_overlaid_by_step(reviewed):
    run = reviewed.trainings[0]
    reviewed.shows(
        f"experiments/{reviewed.experiment}/runs/{run.info.run_id}/model-metrics",
        "Auto-refresh",
        name="6_curves",
    )
    page = reviewed.page
    page.get_by_placeholder("Search metric charts").fill(f"{reviewed.cohort}_curves")
    for name in ("net_benefit", "observed", "sensitivity"):
        page.get_by_text(name, exact=True).first.wait_for(timeout=PATIENCE)
    page.wait_for_timeout(3000)
    page.screenshot(path=reviewed.pictures / f"mlflow_{reviewed.study}_6_curves.png")


def test_figures_and_report_show_in_the_ui(reviewed):
    run = reviewed.trainings[0].info.run_id
    place = f"experiments/{reviewed.experiment}/runs/{run}/artifacts"
    figures = [item.path for item in reviewed.client.list_artifacts(run, "figures")]
    roc = next(path for path in figures if "roc_" in path)

    reviewed.shows(f"{place}/{roc}", Path(roc).name, name="7_figure")
    picture = reviewed.page.locator("img[src^='blob:'], img[src*='artifact']").first
    picture.wait_for(timeout=PATIENCE)
    assert picture.evaluate("image => image.naturalWidth") > 300

    reviewed.shows(f"{place}/report.html", "report.html", name="8_report")
    frame = reviewed.page.frame_locator("iframe").first
    frame.get_by_text("Research use only.").first.wait_for(timeout=PATIENCE)
    reviewed.page.screenshot(path=reviewed.pictures / f"mlflow_{reviewed.study}_8_report.png")


def test_a_table_shows_in_the_ui(reviewed):
    run = reviewed.trainings[0].info.run_id
    reviewed.shows(
        f"experiments/{reviewed.experiment}/runs/{run}/artifacts/tables/headline.json",
        "headline.json",
        name="9_table",
    )


def test_the_registered_model_has_its_alias(reviewed):
    aliases = reviewed.client.get_registered_model(reviewed.study).aliases
    assert str(aliases["candidate"]) == "3"
    shown = [f"@ {alias}" for alias in aliases]

    reviewed.shows(f"models/{reviewed.study}", "Versions", *shown, name="10_model")
