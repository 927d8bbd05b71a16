"""Every English word of the reports and figures, for translation, by report.

The cycle's own words stand in ``data_schemas/cycle.yaml``, meanings of codes in the dictionaries.
"""

from stratify.report.text.effect import EFFECT
from stratify.report.text.figures import FIGURES, METRICS
from stratify.report.text.labels import LABELS
from stratify.report.text.page import CARD, TEXT
from stratify.report.text.patient import PATIENT

__all__ = ["CARD", "EFFECT", "FIGURES", "LABELS", "METRICS", "PATIENT", "TEXT"]
