"""The study file, typed to the bottom: policy, effect, endpoint and model settings."""

from stratify.study.response_criteria import ResponseCriteria
from stratify.study.study_file import MONOTHERAPY, Split, Study

__all__ = ["MONOTHERAPY", "ResponseCriteria", "Split", "Study"]
