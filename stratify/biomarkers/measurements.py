"""Every raw measurement there is, in the order in which their features are added."""

from __future__ import annotations

from stratify.biomarkers.ctdna import PlasmaDna
from stratify.biomarkers.deconvolution import Deconvolution
from stratify.biomarkers.expression_signatures import ExpressionSignatures
from stratify.biomarkers.measurement import Measurement
from stratify.biomarkers.regions import TissueRegions
from stratify.biomarkers.tmb import TissueBurden

__all__ = ["MEASUREMENTS"]

MEASUREMENTS: tuple[Measurement, ...] = (
    TissueBurden(),
    PlasmaDna(),
    TissueRegions(),
    ExpressionSignatures(),
    Deconvolution(),
)
