"""Every word of the reports and figures, by report; they stand in ``data_schemas/words/``.

The cycle's own words stand in ``data_schemas/cycle.yaml``, meanings of codes in the dictionaries.
"""

from __future__ import annotations

from typing import Any

from stratify.tables.documents import document

__all__ = ["CARD", "EFFECT", "FIGURES", "LABELS", "METRICS", "PATIENT", "POLICY", "TEXT"]

TEXT: dict[str, Any] = document("words/page")  # shared by all pages
CARD: dict[str, Any] = document("words/card")
EFFECT: dict[str, Any] = document("words/effect")
FIGURES: dict[str, Any] = document("words/figures")
LABELS: dict[str, Any] = document("words/labels")
PATIENT: dict[str, Any] = document("words/patient")
POLICY: dict[str, Any] = document("words/policy")
# title, decimals, value of no effect
METRICS: dict[str, tuple[str, int, float | None]] = {
    name: tuple(stated) for name, stated in document("words/metrics").items()
}
