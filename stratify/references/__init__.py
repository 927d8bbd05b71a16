"""Published scores and plain models that every result is compared with.

All are turned to *risk of resistance*: higher is worse. A reference is one object of the protocol
:class:`Reference`; equations and markers are data, in ``data_schemas/references.yaml``. A package
adds its own by the entry-point group ``stratify.references``, see :mod:`stratify.extensions`.
"""

from __future__ import annotations

from stratify.references.equations import Equation
from stratify.references.fitted import References
from stratify.references.known import headline, references
from stratify.references.markers import SingleMarker
from stratify.references.protocol import FittedReference, Reference, measured

__all__ = [
    "Equation",
    "FittedReference",
    "Reference",
    "References",
    "SingleMarker",
    "headline",
    "measured",
    "references",
]
