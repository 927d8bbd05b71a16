"""Words of the label report."""

from __future__ import annotations

from typing import Any

__all__ = ["LABELS"]

LABELS: dict[str, Any] = {
    "kind": "Label report",
    "sections": {
        "rule": "Endpoint",
        "labels": "Labels and their reasons",
        "outcomes": "Outcomes",
        "findings": "Findings about the data",
    },
    "patients": "{n}, {known} with a label, {ones} of them 1",
    "or": " or ",
    "responses": "Best response",
    "not_recorded": "not recorded",
    "figures": {
        "titles": {
            "flow": "Labels, {where}",
            "swimmer": "Follow-up, {where}",
            "waterfall": "Best change of the target sum, {where}",
        },
        "flow": "A label is 1 for {positive}, 0 for {negatives}; who is not evaluable has none.",
        "swimmer": "Progression-free survival of each patient; the dotted line is six months.",
        "waterfall": "Dotted lines: 30 % smaller and 20 % larger than at baseline.",
    },
    "rule": {
        "endpoint_rule": "Rule",
        "title": "Title",
        "source": "Source",
        "criteria": "Response criteria",
        "patients": "Patients",
    },
    "criteria": {"recist_1_1": "RECIST 1.1", "irecist": "iRECIST", None: "as recorded"},
}
