"""The study file, typed to the bottom: policy, effect, endpoint and model settings."""

from stratify.study.study_file import MONOTHERAPY, ResponseCriteria, Split, Study

__all__ = ["MONOTHERAPY", "ResponseCriteria", "Split", "Study"]
