"""The model bundle, and patients scored with it: one, a cohort, a registry."""

from stratify.scoring.bundle import ResistanceModel, load

__all__ = ["ResistanceModel", "load"]
