"""Plots: what they say, that they read in black and white, and that bytes repeat."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from stratify.errors import ArgumentError
from stratify.report import figures, profile_figures, response_figures

TITLE = "Lung A, n = 120"
ROOT = Path(figures.__file__).parents[1]


def roc_curves() -> pd.DataFrame:
    grid = np.linspace(0, 1, 11)
    parts = [
        pd.DataFrame({"model": model, "false_positive_rate": grid, "true_positive_rate": grid**k})
        for model, k in [("tmb_10", 0.8), ("loris", 0.6), ("stratify", 0.3)]
    ]
    return pd.concat(parts, ignore_index=True)


def calibration_curves() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model": ["stratify", "stratify", "loris", "loris"],
            "mean_predicted": [0.6, 0.2, 0.3, 0.5],
            "mean_observed": [0.5, 0.25, 0.4, 0.45],
            "low": [0.4, 0.1, 0.3, 0.3],
            "high": [0.6, 0.4, 0.5, 0.6],
            "n": 60,
            "n_events": 30,
        }
    )


def decision_curves() -> pd.DataFrame:
    rows = [
        (model, t, benefit)
        for t in (0.1, 0.3, 0.5, 0.7)
        for model, benefit in [
            ("flag_none", 0.0),
            ("flag_all", 0.5 - 0.5 * t / (1 - t)),
            ("stratify", 0.5 - 0.4 * t),
        ]
    ]
    return pd.DataFrame(rows, columns=["model", "threshold", "net_benefit"])


def survival(group: str = "high $risk$") -> tuple[pd.DataFrame, pd.DataFrame]:
    low = pd.DataFrame(
        {
            "group": "low",
            "time": [0.0, 5.0, 7.0, 14.0],
            "survival": [1.0, 0.75, 0.75, 0.375],
            "low": [1.0, 0.4, 0.4, 0.1],
            "high": [1.0, 0.9, 0.9, 0.8],
            "n_at_risk": [4, 4, 3, 2],
        }
    )
    high = pd.DataFrame(
        {
            "group": group,
            "time": [1.0, 4.0],
            "survival": [0.5, 0.0],
            "low": [0.1, np.nan],
            "high": [0.8, np.nan],
            "n_at_risk": [2, 1],
        }
    )
    summary = pd.DataFrame(
        {
            "group": ["low", group],
            "n": [4, 2],
            "n_events": [2, 2],
            "median": [np.nan, 1.0],
            "hazard_ratio": [np.nan, 2.5],
            "low": [np.nan, 1.25],
            "high": [np.nan, 5.0],
            "log_rank_p": 0.0314,
        }
    )
    return pd.concat([low, high], ignore_index=True), summary


def attributions(n: int = 40, n_features: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    parts = []
    for k in range(n_features):
        value = rng.normal(size=n)
        part = pd.DataFrame(
            {
                "patient_id": [f"p{i:05d}" for i in range(n)],
                "cohort": "Lung A",
                "feature": f"feature_{k}",
                "panel": "clinical",
                "unit": "g/L" if k == 0 else None,
                "value": value,
                "level": "",
                "shap": value / (k + 1),
                "base_value": 0.1,
            }
        )
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    table.loc[table.index % 9 == 0, "value"] = np.nan
    return table


def performance() -> pd.DataFrame:
    columns = ["cohort", "split", "model", "reference", "metric", "value", "low", "high"]
    rows = [
        ("Lung A", "train", "stratify", None, "auroc", 0.99, 0.98, 1.0),
        ("Lung A", "cv", "loris", None, "auroc", 0.61, 0.52, 0.7),
        ("Lung A", "cv", "stratify", None, "auroc", 0.7412, 0.6911, 0.7899),
        ("Lung A", "cv", "stratify", "loris", "delta_auroc", 0.13, -0.01, 0.27),
        ("Skin B", "external", "stratify", None, "auroc", np.nan, np.nan, np.nan),
    ]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(subgroup="all", threshold=np.nan, n=120, n_events=60)


def every_figure() -> dict[str, Figure]:
    return {
        "roc": figures.roc(roc_curves(), title=TITLE),
        "calibration": figures.calibration(calibration_curves(), title=TITLE),
        "decision_curve": figures.decision_curve(decision_curves(), title=TITLE),
        "kaplan_meier": response_figures.kaplan_meier(
            *survival(), title=TITLE, outcome="Overall survival"
        ),
        "beeswarm": profile_figures.beeswarm(attributions(), title=TITLE),
        "forest": figures.forest(performance(), title=TITLE),
    }


def legend_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def labels_of(figure: Figure, axes: int = 0) -> tuple[str, str]:
    return figure.axes[axes].get_xlabel(), figure.axes[axes].get_ylabel()


def test_every_figure_has_its_title_and_no_small_or_overlapping_text():
    for name, figure in every_figure().items():
        assert isinstance(figure, Figure), name
        assert figure.get_suptitle() == TITLE, name
        figures.png(figure)  # lays the figure out
        texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
        assert min(text.get_fontsize() for text in texts) >= 9, name
        blocks = [axes.get_tightbbox() for axes in figure.axes]
        blocks += [legend.get_window_extent() for legend in figure.legends]
        for i, block in enumerate(blocks):
            for other in blocks[:i]:
                height = min(block.y1, other.y1) - max(block.y0, other.y0)
                width = min(block.x1, other.x1) - max(block.x0, other.x0)
                assert height < 1 or width < 1, name


def test_neither_pyplot_nor_matplotlib_is_imported_with_the_module():
    code = (
        "import sys, pandas as pd; from stratify.report import figures; "
        "assert 'matplotlib' not in sys.modules; "
        "curves = pd.DataFrame({'model': ['a'], 'threshold': 0.2, 'net_benefit': 0.1}); "
        "figures.png(figures.decision_curve(curves, title='n = 1')); "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=ROOT)


def test_roc_says_auroc_with_interval_and_puts_stratify_first():
    rows = performance().query("split == 'cv' and metric == 'auroc'")
    figure = figures.roc(roc_curves(), title=TITLE, aurocs=rows)
    assert legend_of(figure) == ["stratify 0.74 (0.69–0.79)", "tmb 10", "loris 0.61 (0.52–0.70)"]
    assert labels_of(figure) == (
        "False positive rate (1 − specificity)",
        "True positive rate (sensitivity)",
    )


def test_models_differ_in_colour_and_in_line():
    lines = figures.roc(roc_curves(), title=TITLE).axes[0].lines[1:]
    assert len({line.get_color() for line in lines}) == 3
    assert len({line.get_linestyle() for line in lines}) == 3


def test_calibration_draws_intervals_and_the_diagonal():
    figure = figures.calibration(calibration_curves(), title=TITLE)
    assert legend_of(figure) == ["perfect agreement", "stratify", "loris"]
    assert labels_of(figure) == ("Predicted risk of resistance", "Observed share with resistance")
    assert figure.axes[0].lines[1].get_xydata().tolist() == [[0.2, 0.25], [0.6, 0.5]]
    bars = [segment.tolist() for segment in figure.axes[0].collections[0].get_segments()]
    assert bars == [[[0.2, 0.1], [0.2, 0.4]], [[0.6, 0.4], [0.6, 0.6]]]
    assert len(figure.axes) == 1


def test_decision_curve_names_the_flag_rules_and_cuts_losses_off():
    figure = figures.decision_curve(decision_curves(), title=TITLE)
    assert legend_of(figure) == ["stratify", "flag no one", "flag everyone"]
    assert labels_of(figure) == ("Threshold: risk from which a patient is flagged", "Net benefit")
    low, high = figure.axes[0].get_ylim()
    assert low == -0.05
    assert 0.46 < high < 0.55


def test_kaplan_meier_says_events_median_ratio_and_numbers_at_risk():
    figure = response_figures.kaplan_meier(*survival(), title=TITLE, outcome="Overall survival")
    assert legend_of(figure) == [
        "low: 2/4 events, median not reached",
        r"high \$risk\$: 2/2 events, median 1.0 months, HR 2.50 (1.25–5.00)",
    ]
    assert figure.legends[0].get_title().get_text() == "Log-rank p = 0.031"
    assert labels_of(figure) == ("Months since the first dose", "Overall survival")
    below = figure.axes[1]
    assert below.get_title(loc="left") == "Number at risk"
    ticks = [0, 2, 4, 6, 8, 10, 12, 14]
    assert figure.axes[0].get_xticks().tolist() == ticks
    at_risk = [text.get_text() for text in below.texts]
    assert at_risk == ["4", "4", "4", "3", "2", "2", "2", "2", "2", "1", "1", *"00000"]


def test_kaplan_meier_takes_the_long_names_of_limits_and_a_tiny_p():
    curves, summary = survival()
    names = {"low": "hazard_ratio_low", "high": "hazard_ratio_high"}
    summary = summary.rename(columns=names).assign(log_rank_p=2e-9)
    figure = response_figures.kaplan_meier(curves, summary, title=TITLE, outcome="Overall survival")
    assert legend_of(figure)[1].endswith("HR 2.50 (1.25–5.00)")
    assert figure.legends[0].get_title().get_text() == "Log-rank p < 0.001"


def test_beeswarm_orders_features_and_says_what_it_leaves_out():
    figure = profile_figures.beeswarm(attributions(), title=TITLE, max_features=2)
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "feature 0 (g/L)",
        "feature 1",
    ]
    assert axes.get_xlabel() == "Contribution to log-odds of resistance (before calibration)"
    assert figure.get_supxlabel() == (
        "The 2 strongest of 4 features. Grey crosses: value missing, or a category."
    )
    drawn = sorted(x for dots in axes.collections[:2] for x in dots.get_offsets()[:, 0].tolist())
    assert drawn == sorted(attributions().query("feature == 'feature_0'")["shap"])


def test_beeswarm_repeats_its_bytes_whatever_the_order_of_rows():
    table = attributions()
    before = table.copy()
    first = figures.png(profile_figures.beeswarm(table, title=TITLE))
    shuffled = table.sample(frac=1, random_state=1)
    assert figures.png(profile_figures.beeswarm(shuffled, title=TITLE)) == first
    pd.testing.assert_frame_equal(table, before)


def test_beeswarm_draws_2000_of_many_patients_and_says_so():
    figure = profile_figures.beeswarm(attributions(5000, 20), title=TITLE)
    assert "2,000 of 5,000 patients are drawn, evenly selected." in figure.get_supxlabel().replace(
        "\n", " "
    )
    assert sum(len(dots.get_offsets()) for dots in figure.axes[0].collections) == 15 * 2000


def test_points_of_the_beeswarm_stay_in_their_row_and_apart():
    shap = np.zeros(300)
    heights = profile_figures._heights(shap, 1.0)
    assert np.abs(heights).max() <= 0.42 + 1e-12
    assert len(set(heights.tolist())) == 300


def test_forest_leaves_training_rows_out_and_prints_the_estimates():
    figure = figures.forest(performance(), title=TITLE)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    heads = ["Lung A, cv\n60/120 events", "Skin B, external\n60/120 events"]
    assert labels == [heads[0], "stratify", "loris", heads[1], "stratify"]
    right = [label.get_text() for label in figure.axes[0].child_axes[0].get_yticklabels()]
    assert right == ["0.74 (0.69–0.79)", "0.61 (0.52–0.70)", "–"]
    assert figure.axes[0].get_xlabel() == "AUROC"


def test_forest_of_a_difference_names_both_models():
    figure = figures.forest(performance(), metric="delta_auroc", title=TITLE)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[1] == "stratify − loris"
    right = figure.axes[0].child_axes[0].get_yticklabels()
    assert right[0].get_text() == "0.130 (−0.010\u00a0to\u00a00.270)"


def test_bytes_do_not_depend_on_the_users_settings_nor_on_the_time():
    first = figures.png(figures.roc(roc_curves(), title=TITLE))
    with matplotlib.rc_context({"font.size": 22, "axes.facecolor": "black"}):
        assert figures.png(figures.roc(roc_curves(), title=TITLE)) == first
    assert b"tEXt" not in first


def test_estimate_uses_to_where_a_limit_is_negative():
    assert figures.estimate(0.02, -0.01, 0.05) == "0.02 (−0.01\u00a0to\u00a00.05)"
    assert figures.estimate(-0.001, -0.004, 0.05) == "0.00 (0.00–0.05)"
    assert figures.estimate(0.5, 0.4, float("nan")) == "0.50"


@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (
            lambda: figures.roc([1, 2], title=TITLE),
            TypeError,
            "`curves` is a list; a pandas DataFrame is expected.",
        ),
        (
            lambda: figures.roc(roc_curves()[["model"]], title=TITLE),
            ArgumentError,
            "`curves` lacks the column(s) false_positive_rate, true_positive_rate.",
        ),
        (
            lambda: figures.decision_curve(decision_curves().head(0), title=TITLE),
            ArgumentError,
            "`curves` has no rows, so there is nothing to draw.",
        ),
        (
            lambda: figures.roc(roc_curves(), title=TITLE, aurocs=performance()),
            ArgumentError,
            "`aurocs` has a model twice; choose cohort, split and subgroup.",
        ),
        (
            lambda: figures.forest(performance(), metric="brier", title=TITLE),
            ArgumentError,
            "`performance, metric brier` has no rows, so there is nothing to draw.",
        ),
        (
            lambda: figures.forest(performance(), metric="auc", title=TITLE),
            ArgumentError,
            "`metric` is 'auc'; expected one of auroc, average_precision, c_index, brier, "
            "brier_skill, calibration_slope, calibration_intercept, mean_predicted, mean_observed, "
            "observed_expected, "
            "sensitivity, specificity, ppv, npv, share_flagged, net_benefit, share_decided, "
            "share_measure, share_refer, error_monotherapy, error_combination, "
            "net_benefit_gain, delta_auroc, delta_brier.",
        ),
    ],
)
def test_wrong_tables_are_refused_with_a_whole_sentence(draw, error, message):
    with pytest.raises(error) as caught:
        draw()
    assert str(caught.value) == message
