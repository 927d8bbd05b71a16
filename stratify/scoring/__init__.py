"""The model bundle, and patients scored with it: one, a cohort, a registry."""

from stratify.scoring.bundle import load
from stratify.scoring.resistance_model import ResistanceModel

__all__ = ["ResistanceModel", "load"]
