"""Plots of labels and outcomes."""

import pandas as pd
import pytest

from stratify.errors import ArgumentError
from stratify.report.figures import png
from stratify.report.response_figures import label_flow, swimmer, waterfall


def test_the_flow_counts_every_patient_once():
    labels = pd.DataFrame(
        {
            "cohort": ["a", "b", "a"],
            "state": ["primary", "primary", "not_evaluable"],
            "reason": ["event_before_horizon", "event_before_horizon", "pfs_missing"],
            "n": [30, 10, 10],
        }
    )
    (axes,) = label_flow(labels, title="Lung (n = 50)").axes
    assert [text.get_text() for text in axes.texts] == [" 40 (80 %)", " 10 (20 %)"]
    names = [" ".join(tick.get_text().split()) for tick in axes.get_yticklabels()]
    assert names == ["primary: event before horizon", "not evaluable: pfs missing"]


def test_the_swimmer_plot_shows_every_patient_or_says_how_many():
    few = pd.DataFrame({"pfs": [2.0, 9.0, None], "pfs_event": [1, 0, 1], "state": "none"})
    (axes,) = swimmer(few, title="Lung (n = 3)").axes
    assert len(axes.patches) == 2
    many = pd.DataFrame({"pfs": range(500), "pfs_event": 1, "state": "primary"})
    figure = swimmer(many, title="Lung (n = 500)")
    assert figure.get_suptitle() == "Lung (n = 500), 120 of 500 shown"
    assert len(figure.axes[0].patches) == 120


def test_the_waterfall_goes_from_growth_to_shrinkage():
    best = pd.DataFrame(
        {"best_change": [-1.0, 0.4, -0.5, 2.0], "best_response": ["CR", "PD", "PR", "PD"]}
    )
    figure = waterfall(best, title="Lung (n = 4)")
    heights = sorted((bar.get_x(), bar.get_height()) for bar in figure.axes[0].patches)
    assert [height for _, height in heights] == [100, 40, -50, -100]  # cut at 100 %
    assert png(figure) == png(waterfall(best, title="Lung (n = 4)"))


@pytest.mark.parametrize("draw", [label_flow, swimmer, waterfall])
def test_an_empty_table_is_refused(draw):
    with pytest.raises(ArgumentError, match="lacks the column"):
        draw(pd.DataFrame(), title="x")
