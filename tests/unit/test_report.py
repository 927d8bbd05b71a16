"""The report: every number from a table, nothing from the network, nothing half written."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from jinja2 import UndefinedError

from stratify.errors import ArgumentError, FileError
from stratify.report import evaluation_report, figures
from stratify.report.card_figures import (
    ASSESSMENT_FIGURES,
    COHORT_FIGURES,
    EXPLANATION_FIGURES,
)
from stratify.report.effect_figures import EFFECT_FIGURES
from stratify.report.evaluation_report import CardFacts, write_report
from stratify.report.label_report import LABEL_FIGURES
from stratify.report.page_figure import Drawn, PageFigure, Picture
from stratify.report.page_figure import pictures as draw
from stratify.report.text import TEXT

EVIL = "<script>alert('x')</script>"


def facts(**changes: Any) -> CardFacts:
    stated = {
        "kind": "model card",
        "study": "lung_2024",
        "title": f"Lung {EVIL}",
        "description": "Risk of primary resistance from baseline panels.",
        "model_version": "lung_2024-7",
        "endpoint_rule": "proxy_pfs6@1.0.0",
        "endpoint_title": "Progression-free survival at six months",
        "endpoint_source": "Kluger 2020, 10.1136/jitc-2019-000398",
        "target": "risk of primary resistance",
        "evidence_class": "C1",
        "regimens_statement": "Monotherapy only.",
        "recommendation_statement": "Triage by risk.",
        "limits": ["Two assays of PD-L1.", "One cohort is small."],
        "created": "2025-11-23",
        "versions": {"lightgbm": "4.7.0"},
        "hashes": {"model.txt": "60303ae2"},
        "settings": {"seed": 7, "rate": 0.05, "panels": ["clinical", "tmb"], "monotone": True},
        "features": pd.DataFrame(
            {
                "title": [f"TMB {EVIL}"],
                "panel": "tmb",
                "unit": "mut/Mb",
                "direction": None,
                "share_missing": 0.1234,
            }
        ),
        "interval_level": 0.95,
    }
    return CardFacts(**stated | changes)


def performance() -> pd.DataFrame:
    columns = ["cohort", "split", "model", "reference", "subgroup", "metric", "threshold"]
    columns += ["value", "low", "high", "n", "n_events"]
    none, skin = np.nan, (123, 57)
    rows = [
        ("Lung A", "train", "stratify", "", "all", "auroc", none, 0.987, 0.981, 0.993, 400, 211),
        ("Lung A", "cv", "stratify", "", "all", "auroc", none, 0.7412, 0.6911, 0.7899, 400, 211),
        ("Lung A", "cv", "stratify", "", "all", "c_index", none, 0.631, 0.601, 0.661, 400, 333),
        ("Skin B", "external", "loris", "", "all", "auroc", none, 0.66, 0.58, 0.74, *skin),
        ("Skin B", "external", "stratify", "", "all", "auroc", none, 0.715, 0.62, 0.81, *skin),
        ("Skin B", "external", "stratify", "", "all", "brier", none, 0.2034, 0.18, 0.23, *skin),
        (
            "Skin B",
            "external",
            "stratify",
            "loris",
            "all",
            "delta_auroc",
            none,
            0.055,
            -0.03,
            0.14,
            *skin,
        ),
        ("Skin B", "external", "stratify", "", "all", "ppv", 0.3, 0.611, 0.5, 0.712, *skin),
        ("Skin B", "external", "flag_all", "", "all", "net_benefit", 0.3, 0.2334, 0.1, 0.35, *skin),
        ("Skin B", "external", "stratify", "", "sex=male", "auroc", none, 0.68, 0.55, 0.8, 70, 31),
        ("Skin B", "external", "loris", "", "sex=male", "auroc", none, 0.61, 0.5, 0.72, 70, 31),
        ("Skin B", "external", "loris", "", "measured=tmb", "auroc", none, 0.6, 0.5, 0.7, 65, 29),
    ]
    return pd.DataFrame(rows, columns=columns)


def tables(**changes: pd.DataFrame) -> dict[str, pd.DataFrame]:
    findings = {
        "code": ["assay_differs"],
        "severity": "warning",
        "cohort": "Skin B",
        "panel": "pdl1",
        "column": "pdl1_tps",
        "n": 57,
        "message": f"Level {EVIL} of column PDL1.",
        "advice": "Compare by cohort.",
    }
    attrition = {
        "cohort": "Lung A",
        "step": ["read", "eligible_regimen"],
        "reason": ["", f"combination {EVIL}"],
        "n": [500, 100],
        "n_remaining": [500, 400],
    }
    labels = {"cohort": ["Lung A"], "state": "primary", "reason": "event_before_horizon", "n": 211}
    importance = {"feature": ["tmb"], "title": "TMB", "panel": "tmb", "mean_abs_shap": 0.4321}
    recommendations = {
        "recommendation": ["monotherapy", "refer"],
        "n": [100, 23],
        "share": [0.813, 0.187],
    }
    return {
        "findings": pd.DataFrame(findings),
        "attrition": pd.DataFrame(attrition),
        "performance": performance(),
        "recommendations": pd.DataFrame(recommendations),
        "labels": pd.DataFrame(labels),
        "importance": pd.DataFrame(importance),
        **changes,
    }


def km() -> pd.DataFrame:
    columns = ["group", "n", "n_events", "median", "hazard_ratio", "low", "high", "log_rank_p"]
    rows = [
        ("low", 60, 20, np.nan, np.nan, np.nan, np.nan, 0.0123),
        ("high", 63, 50, 4.25, 2.111, 1.5, 3.0, 0.0123),
    ]
    return pd.DataFrame(rows, columns=columns)


def pictures() -> list[Picture]:
    curves = pd.DataFrame({"model": "stratify", "threshold": [0.2, 0.5], "net_benefit": 0.1})
    benefit = figures.decision_curve(curves, title="Lung A $1$, n = 400")
    swarm = figures.decision_curve(curves, title="Swarm, n = 400")
    return [
        Picture("decision_curve", "figures", f"Benefit {EVIL}", benefit),
        Picture("beeswarm", "explanations", "Contributions.", swarm),
    ]


class Page(HTMLParser):
    """Elements and visible text of a report; each table as rows of cell texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.in_style = self.in_cell = False
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.in_style = tag == "style"
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.in_cell = True
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        self.in_style = False
        if tag in ("td", "th"):
            self.in_cell = False

    def handle_data(self, data):
        if not self.in_style:
            self.words.append(data)
        if self.in_cell:
            self.tables[-1][-1][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "card.html"
    write_report(path, facts(), tables(km=km()), pictures())
    assert [file.name for file in path.parent.iterdir()] == ["card.html"]
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def row(page: Page, *starts: str) -> list[list[str]]:
    rows = [cells for table in page.tables for cells in table]
    return [cells for cells in rows if cells[: len(starts)] == list(starts)]


def test_markup_in_texts_and_categories_is_shown_and_never_run(html, page):
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;") >= 6
    assert "Level <script>alert('x')</script> of column PDL1." in page.text
    assert f"combination {EVIL}" in page.text


def test_nothing_comes_from_the_network(html, page):
    assert "://" not in html
    assert "url(" not in html
    assert "@import" not in html
    assert {tag for tag, _ in page.elements} & {"link", "script", "iframe", "object"} == set()
    assert all(img["src"].startswith("data:image/png;base64,iVBOR") for img in page.all("img"))
    assert all(anchor["href"].startswith("#") for anchor in page.all("a"))
    policy = next(meta for meta in page.all("meta") if "http-equiv" in meta)
    assert policy["content"] == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_a_report_begins_with_unseen_patients_and_the_reference_that_comes_nearest(page):
    assert page.tables[0] == [
        [
            *("Patients", "n", "Events", "AUROC", "Calibration slope"),
            *("Nearest reference", "AUROC above it"),
        ],
        [
            *("Skin B, external patients", "123", "57", "0.71 (0.62–0.81)", "–"),
            *("loris", "0.055 (−0.030\u00a0to\u00a00.140)"),
        ],
        ["Lung A, cross-validation", "400", "211", "0.74 (0.69–0.79)", "–", "–", "–"],
    ]


def test_a_long_table_folds_and_tells_its_rows(tmp_path):
    many = {f"{name}_{k}": "x" for name in "abc" for k in range(9)}
    write_report(tmp_path / "r.html", facts(hashes=many), tables())
    assert "<summary>SHA-256 of the inputs and the model (27)</summary>" in (
        tmp_path / "r.html"
    ).read_text(encoding="utf-8")


def test_headline_comes_first_for_external_patients_and_then_for_cross_validation(page):
    text = page.text
    external = text.index("Skin B, external patients: 123 patients, 57 events")
    assert external < text.index("Lung A, cross-validation: 400 patients, 211 events")
    assert row(page, "Model", "AUROC")[0] == [
        "Model",
        "AUROC",
        "Brier score",
        "Brier skill",
        "Calibration slope",
        "Calibration intercept",
        "Mean predicted",
        "Mean observed",
    ]
    dashes = ["–"] * 5
    assert row(page, "stratify", "0.71 (0.62–0.81)")[0][2:] == ["0.203 (0.180–0.230)", *dashes]
    assert row(page, "loris", "0.66 (0.58–0.74)")[0][2:] == ["–", *dashes]
    assert row(page, "stratify", "0.74 (0.69–0.79)")[0][2:] == ["–", *dashes]


def test_differences_thresholds_subgroups_and_other_metrics(page):
    difference = ["Difference in AUROC", "0.055 (−0.030\u00a0to\u00a00.140)", "123", "57"]
    place = ["Skin B", "external patients", "stratify", "loris"]
    assert row(page, *place) == [place + difference]
    assert row(page, "stratify", "0.3")[0][4] == "0.61 (0.50–0.71)"
    assert row(page, "flag everyone", "0.3")[0][7] == "0.233 (0.100–0.350)"
    assert row(page, "sex: male")[0][:5] == [
        "sex: male",
        "stratify",
        "70",
        "31",
        "0.68 (0.55–0.80)",
    ]
    # of subgroups only the model is printed; the references where their inputs are measured
    assert [found[1] for found in row(page, "sex: male")] == ["stratify"]
    assert [found[1] for found in row(page, "measured: tmb")] == ["loris"]
    other = ["Lung A", "cross-validation", "stratify", "C-index", "0.63 (0.60–0.66)", "400", "333"]
    assert row(page, *other) == [other]


def test_apparent_performance_stands_only_in_a_closed_part(html):
    closed = re.findall(r"<details>.*?</details>", html, flags=re.DOTALL)
    apparent = "Apparent performance on the training patients (optimistic)"
    assert ["0.99" in part for part in closed] == [apparent in part for part in closed]
    assert sum(apparent in part for part in closed) == 1
    opened = re.sub(r"<details>.*?</details>|base64,[^\"]*", "", html, flags=re.DOTALL)
    assert "0.99" not in opened
    assert "training patients" not in opened


def test_other_tables_print_their_numbers(page):
    assert ["Lung A", "Eligible regimen", f"combination {EVIL}", "100", "400"] in page.tables[2]
    assert ["Lung A", "primary resistance", "event before horizon", "211"] in page.tables[3]
    assert row(page, "TMB") == [["TMB", "tmb", "0.432"]]
    assert row(page, "refer") == [["refer", "23", "18.7\u00a0%"]]
    assert "Referred: 18.7 % (23 patients)." in page.text
    assert row(page, f"TMB {EVIL}") == [[f"TMB {EVIL}", "tmb", "mut/Mb", "–", "12.3\u00a0%"]]
    assert row(page, "low") == [["low", "60", "20", "not reached", "–"]]
    assert row(page, "high") == [["high", "63", "50", "4.2", "2.11 (1.50–3.00)"]]
    assert "Survival by group of predicted risk. Log-rank p = 0.012" in page.text
    assert row(page, "Severity")[0][5] == "Number"
    found = ["warning", "assay_differs", "Skin B", "pdl1", "pdl1_tps", "57"]
    assert row(page, "warning")[0][:6] == found
    assert row(page, "rate") == [["rate", "0.05"]]
    assert row(page, "panels") == [["panels", "clinical, tmb"]]
    assert row(page, "monotone") == [["monotone", "yes"]]
    assert row(page, "model.txt") == [["model.txt", "60303ae2"]]
    assert "Intervals cover 95 %." in page.text


def test_every_number_on_the_page_is_a_number_of_the_tables_or_facts(page):
    given = [str(facts()), *(table.to_csv() for table in tables(km=km()).values())]
    known = {float(x) for x in re.findall(r"\d+(?:\.\d+)?", " ".join(given))}
    known |= {100 * x for x in known}
    words, checked = page.text.replace("C1", "").replace("SHA-256", ""), 0
    for shown in re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.]*\w)", words):
        digits = len(shown.partition(".")[2])
        slack = 0.5000001 * 10**-digits if digits else 1e-9
        assert min(abs(float(shown) - x) for x in known) <= slack, shown
        checked += 1
    assert checked > 80


def test_page_is_marked_for_research_and_for_assistive_technology(html, page):
    assert "Research use only." in page.text
    assert "Evidence class C1." in page.text
    assert page.all("html") == [{"lang": "en"}]
    for landmark in ("header", "nav", "main", "footer", "h1"):
        assert len(page.all(landmark)) == 1, landmark
    assert all(head.get("scope") in ("col", "row") for head in page.all("th"))
    regions = [each for each in page.all("div") if "scroll" in (each.get("class") or "")]
    assert len(regions) == len(page.all("table"))
    names = [each["aria-label"] for each in regions]
    assert len(set(names)) == len(names)
    assert all(each["role"] == "region" and each["tabindex"] == "0" for each in regions)
    alts = [image["alt"] for image in page.all("img")]
    assert alts == ["Plot. Lung A $1$, n = 400", "Plot. Swarm, n = 400"]
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(set(ids)) == len(ids)
    assert {anchor["href"] for anchor in page.all("a")} <= {f"#{each}" for each in ids}


def test_same_arguments_give_the_same_bytes_and_change_no_table(html, tmp_path):
    given = tables(km=km())
    write_report(tmp_path / "again.html", facts(), given, pictures())
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == html
    for name, table in tables(km=km()).items():
        pd.testing.assert_frame_equal(given[name], table)


def test_empty_tables_and_no_figures_are_said_in_words(tmp_path):
    empty = {name: table.head(0) for name, table in tables().items()}
    write_report(str(tmp_path / "r.html"), facts(kind="evaluation report"), empty)
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "What was found, where, and what to do: None." in page.text
    assert "Figures None." in page.text
    assert "Discrimination and calibration None." in page.text
    assert "Evaluation report" in page.text


def test_texts_read_back_from_csv_may_be_missing(tmp_path):
    table = performance().replace({"reference": {"": np.nan}, "subgroup": {"all": np.nan}})
    write_report(tmp_path / "r.html", facts(), tables(performance=table))
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert row(page, "stratify", "0.71 (0.62–0.81)")
    assert "nan" not in page.text.split()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"tables": {}},
            "`tables` lacks 'findings'; the report needs it: add it, even empty.",
        ),
        (
            {"tables": tables(labels=pd.DataFrame({"cohort": ["Lung A"], "n": 3}))},
            "The table 'labels' lacks the column(s) state, reason.",
        ),
    ],
)
def test_what_is_missing_is_said_and_nothing_is_written(tmp_path, change, message):
    arguments = {"facts": facts(), "tables": tables()} | change
    with pytest.raises(ArgumentError) as caught:
        write_report(tmp_path / "r.html", **arguments)
    assert str(caught.value) == message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "poster"}, "`kind` is 'poster'; expected 'model card' or 'evaluation report'."),
        (
            {"features": pd.DataFrame({"title": ["TMB"], "panel": "tmb"})},
            "The table 'features' lacks the column(s) unit, direction, share_missing.",
        ),
    ],
)
def test_facts_that_no_card_could_print_are_refused(change, message):
    with pytest.raises(ArgumentError) as caught:
        facts(**change)
    assert str(caught.value) == message


def test_the_template_is_strict_and_a_failed_rendering_leaves_the_old_report(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation_report, "TEXT", {k: v for k, v in TEXT.items() if k != "banner"})
    path = tmp_path / "r.html"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(UndefinedError, match="'dict object' has no attribute 'banner'"):
        write_report(path, facts(), tables())
    assert [file.name for file in tmp_path.iterdir()] == ["r.html"]
    assert path.read_text(encoding="utf-8") == "old"


PAGES = {
    "model_card": [*COHORT_FIGURES, *ASSESSMENT_FIGURES, *EXPLANATION_FIGURES],
    "effect": EFFECT_FIGURES,
    "labels": LABEL_FIGURES,
}


@pytest.mark.parametrize("page", PAGES)
def test_every_figure_has_a_name_of_its_own_and_stands_in_a_section_of_its_page(page):
    names = [figure.name for figure in PAGES[page]]
    assert len(set(names)) == len(names)
    source = Path(evaluation_report.__file__).parent / "templates" / f"{page}.html.j2"
    template = source.read_text(encoding="utf-8")
    sections = dict(re.findall(r'call section\("([a-z-]+)"(, figures_last=false)?\)', template))
    for figure in PAGES[page]:
        places = f'figures("{figure.section}")', f'p.section == "{figure.section}"'
        assert figure.section in sections
        assert not sections[figure.section] or any(place in template for place in places)
    assert not re.search(r"pictures[.\[]", template)  # none is named


def test_a_figure_that_is_added_stands_in_its_section(tmp_path):
    curves = pd.DataFrame({"model": "stratify", "threshold": [0.2, 0.5], "net_benefit": 0.1})
    added = PageFigure(
        "who", "patients", "Who, {where}", "All.",
        lambda found: [Drawn((found,), {"where": "Lung A"})], figures.decision_curve,
    )  # fmt: skip
    write_report(tmp_path / "r.html", facts(), tables(), draw([added], curves))
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    section = html[html.index('<section id="patients"') : html.index('<section id="performance"')]
    assert 'alt="Plot. Who, Lung A"' in section


def test_a_folder_that_is_absent_is_said(tmp_path):
    path = tmp_path / "absent" / "r.html"
    with pytest.raises(FileError) as caught:
        write_report(path, facts(), tables())
    assert str(caught.value) == f"{path} cannot be written: No such file or directory."


def test_a_refused_rename_is_said_and_cleaned_up(tmp_path, monkeypatch):
    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    path = tmp_path / "r.html"
    with pytest.raises(FileError) as caught:
        write_report(path, facts(), tables())
    assert str(caught.value) == f"{path} cannot be written: Permission denied."
    assert list(tmp_path.iterdir()) == []
