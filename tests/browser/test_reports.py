"""Reports in a browser: nothing runs over, one page in print, no fault of accessibility.

Pictures go to ``build/browser``. axe-core is taken from ``AXE_CORE`` (path of ``axe.min.js``) or
fetched from the npm registry.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stratify import ResistanceClassifier, Study, train
from stratify.experiment.reporting import report_patient
from stratify.experiment.training import evaluate
from stratify.simulation import write_study

pytestmark = pytest.mark.browser

AXE = "4.14.1"
PICTURES = Path("build/browser")
STUDIES = Path("pipelines/studies")
WIDTHS = (1280, 390)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright (make browser)")
    found = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    if found is None:
        pytest.skip("no Chromium is installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    stated = os.environ.get("AXE_CORE")
    if stated:
        return Path(stated).read_text(encoding="utf-8")
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("axe-core needs npm, or AXE_CORE")
    folder = tmp_path_factory.mktemp("axe")
    packed = subprocess.run(
        [npm, "pack", "--silent", f"axe-core@{AXE}"],
        cwd=folder, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    if packed.returncode:
        pytest.skip("axe-core cannot be fetched from the npm registry")
    with tarfile.open(folder / packed.stdout.strip()) as archive:
        member = archive.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode("utf-8")


def quick() -> ResistanceClassifier:
    return ResistanceClassifier(n_members=5, n_estimators=40, calibration_folds=3)


def three_patients(folder: Path, study: Path, scores: Any) -> dict[str, Path]:
    """Reports of the patients of lowest, middle and highest risk."""
    ordered = scores.sort_values(["risk", "patient_id"]).reset_index(drop=True)
    found = {}
    for place, row in {"low": 0, "middle": len(ordered) // 2, "high": len(ordered) - 1}.items():
        patient = ordered.iloc[row]
        found[place] = folder / f"patient_{place}.html"
        report_patient(
            folder / "out" / "bundle", study, patient["patient_id"], found[place],
            cohort=patient["cohort"],
        )  # fmt: skip
    return found


def reports_of(name: str, folder: Path) -> dict[str, Path]:
    """Every report of a study, by name."""
    out = folder / "out"
    if name == "simulated":
        study = write_study(folder / "study", n=300)
        results = train(Study.load(study), out, classifier=quick())
        evaluate(out / "bundle", study, folder / "cohort.html")
        found = {"card": out / "report.html", "cohort": folder / "cohort.html"}
        unseen = results.scores[results.scores["cohort"] == "simulated_external"]
        return found | three_patients(folder, study, unseen)
    study = STUDIES / f"{name}.yaml"
    results = train(Study.load(study), out)  # a model of default size
    return {"card": out / "report.html"} | three_patients(folder, study, results.scores)


@pytest.fixture(
    scope="session",
    params=[
        "simulated",
        pytest.param("inspire", marks=pytest.mark.realdata),
        pytest.param("imvigor210", marks=pytest.mark.realdata),
    ],
)
def reports(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    data = Path(os.environ.get("STRATIFY_DATA", "../shared/data"))
    if request.param != "simulated" and not data.is_dir():
        pytest.skip(f"the public cohorts are not in {data}")
    return request.param, reports_of(request.param, tmp_path_factory.mktemp(request.param))


def opened(chromium: Any, path: Path, width: int) -> Any:
    page = chromium.new_page(viewport={"width": width, "height": 900})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.resolve().as_uri())
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    return page


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_runs_over_the_edge(chromium, reports, width):
    study, found = reports
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, path in found.items():
        page = opened(chromium, path, width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        # what is wider than its place scrolls in a region of its own, reached by keyboard
        over = page.evaluate(
            """() => [...document.querySelectorAll('table, svg, img')].filter(e => {
                 const box = e.getBoundingClientRect();
                 return box.width > 0 && box.right > innerWidth && !e.closest('[tabindex="0"]');
               }).map(e => e.outerHTML.slice(0, 80))"""
        )
        assert over == [], name
        page.screenshot(path=PICTURES / f"{study}_{name}_{width}.png", full_page=True)
        page.close()


def test_no_words_of_the_drawing_are_cut_or_overlap(chromium, reports):
    _, found = reports
    for name, path in found.items():
        page = opened(chromium, path, 1280)
        faults = page.evaluate(
            """() => [...document.querySelectorAll('svg')].flatMap(svg => {
                 const frame = svg.getBoundingClientRect(), e = 1.5;
                 const texts = [...svg.querySelectorAll('text')].map(t =>
                   [t.textContent, t.getBoundingClientRect()]);
                 const cut = texts.filter(([_, b]) => b.left < frame.left - e ||
                   b.right > frame.right + e || b.top < frame.top - e ||
                   b.bottom > frame.bottom + e).map(([t]) => 'cut: ' + t);
                 const over = texts.flatMap(([t, a], i) => texts.slice(i + 1).filter(([_, b]) =>
                   a.left < b.right - e && b.left < a.right - e &&
                   a.top < b.bottom - 4 && b.top < a.bottom - 4).map(([u]) => t + ' / ' + u));
                 return [...cut, ...over];
               })"""
        )
        assert faults == [], name
        page.close()


def test_a_patient_report_is_one_page_in_print(chromium, reports):
    study, found = reports
    for name, path in found.items():
        page = opened(chromium, path, 1280)
        pdf = page.pdf(
            path=PICTURES / f"{study}_{name}.pdf", format="A4", prefer_css_page_size=True
        )
        pages = len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf))
        assert pages >= 1
        if name not in ("card", "cohort"):
            assert pages == 1, (study, name, pages)
        # printed on A4 no table is wider than the sheet
        page.emulate_media(media="print")
        page.set_viewport_size({"width": 687, "height": 1000})  # 182 mm at 96 dpi
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 687, name
        page.close()


def test_axe_core_finds_no_fault(chromium, reports, axe):
    _, found = reports
    for name, path in found.items():
        # the pages forbid scripts; only the test may put one in
        context = chromium.new_context(bypass_csp=True)
        page = context.new_page()
        page.goto(path.resolve().as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        page.evaluate(axe)
        result = page.evaluate("axe.run(document)")
        faults = {
            f"{fault['impact']}, {fault['id']}: {fault['help']} ({fault['nodes'][0]['html'][:120]})"
            for fault in result["violations"]
        }
        assert faults == set(), name
        assert len(result["passes"]) > 10
        context.close()
