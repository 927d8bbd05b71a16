"""How raw measurements become features: the rules that a study file states for them.

The measurements themselves are described in ``data_schemas/panels/``; what the rules do stands in
:mod:`stratify.biomarkers`.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from stratify.tables.documents import document
from stratify.tables.schema import load_schema, signature_sets
from stratify.tables.strict import Name, Place, Strict, as_text, list_of

__all__ = [
    "BurdenRule",
    "DeconvolutionTable",
    "ExpressionMatrix",
    "PairedSamples",
    "Pdl1Rule",
    "PlasmaRule",
    "RegionRule",
]


class BurdenRule(Strict):
    """How mutations are counted into a burden.

    Attributes
    ----------
    scored_mb : float
        Megabases in which the assay counts: the scored region, not the whole panel.
    consequences : list of str
        Classes that count, as in the ``mutations`` dictionary; by default every mutation that the
        laboratory counts (``counted``).
    min_vaf : float
        Smallest variant allele fraction that counts, as a fraction.
    min_depth : float
        Least depth at which a mutation counts.
    tumour_only : bool
        Whether mutations were called without matched normal tissue.
    assay : str
        Gene panel or exome, with its version.
    confirmed : bool
        The burdens have been checked although their median is unusual.
    """

    scored_mb: Annotated[float, Field(gt=0, le=100)]
    consequences: Annotated[list[str], Field(min_length=1)] | None = None
    min_vaf: Annotated[float, Field(ge=0, lt=1)] = 0
    min_depth: Annotated[float, Field(ge=0)] = 0
    tumour_only: bool | None = None
    assay: str | None = None
    confirmed: bool = False

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """Classes that no dictionary has."""
        classes = load_schema("mutations").fields["consequence"].enum
        for name in list_of(data.get("consequences")):
            if isinstance(name, str) and name not in classes:
                yield ("consequences",), f"{name!r} is not known; classes are {', '.join(classes)}"


class PairedSamples(Strict):
    """Samples that the cohort's assay and a reference assay both measured, one row a sample.

    Attributes
    ----------
    file : str
        Name of the file in the study's ``data`` folder.
    burden, reference : str
        Columns with the burdens of the cohort's assay and of the reference assay, in mut/Mb.
    power : float
        The variance of the errors grows as this power of the burden; 1 as for counts.
    """

    file: str
    burden: Name
    reference: Name
    power: Annotated[float, Field(ge=0, le=4)] = 1.0


def _visits(name: str) -> Any:
    """Give the default of a visit's window, as in ``data_schemas/ctdna.yaml``."""
    return Field(default_factory=lambda: copy(document("ctdna")["visits"][name]))


class PlasmaRule(Strict):
    """How variants in plasma and blood draws become features of the ctdna panel.

    Attributes
    ----------
    burden : str
        What is followed on treatment.
    vaf_below : float
        Variants with this fraction or a greater one, which may be germline, are left out of mean
        and maximum VAF.
    min_depth : float
        Variants at a smaller depth are left out of mean and maximum VAF.
    drop_chip : {"none", "white_cells", "genes"}
        Clonal haematopoiesis: keep it, leave out variants that matched white cells show too, or
        those and all in ``chip_genes``.
    chip_genes : list of str
        The usual genes (Jaiswal 2014, 10.1056/NEJMoa1408617; Razavi 2019,
        10.1038/s41591-019-0652-7); TP53 is not among them, being a driver of many tumours.
    btmb : BurdenRule
        Count bTMB of the baseline draw by this rule.
    weeks : list of int
        Visits on treatment that become features.
    within_days, baseline_within_days : float
        Days by which a draw on treatment may miss its week, and by which the baseline draw may
        precede the first dose.
    """

    burden: Literal[
        "ctdna_mean_vaf", "ctdna_max_vaf", "ctdna_tumour_fraction", "ctdna_mtm_per_ml"
    ] = "ctdna_mean_vaf"
    vaf_below: Annotated[float, Field(gt=0, le=1)] | None = None
    min_depth: Annotated[float, Field(ge=0)] = 0
    drop_chip: Literal["none", "white_cells", "genes"] = "none"
    chip_genes: Annotated[list[str], Field(min_length=1)] = [
        *("ASXL1", "CBL", "DNMT3A", "GNB1", "JAK2", "PPM1D", "SF3B1", "SRSF2", "TET2"),
    ]
    btmb: BurdenRule | None = None
    weeks: list[int] = _visits("weeks")
    within_days: Annotated[float, Field(ge=0)] = _visits("within_days")
    baseline_within_days: Annotated[float, Field(ge=0)] = _visits("baseline_within_days")

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """Weeks without a feature, and windows that overlap."""
        weeks_of = load_schema("plasma_draws").fields["draw_visit"].weeks
        known = [week for week in weeks_of.values() if week]
        weeks = list_of(data.get("weeks", document("ctdna")["visits"]["weeks"]))
        for week in weeks:
            if week not in known:
                yield ("weeks",), f"{week!r} is not known; weeks are {', '.join(map(str, known))}"
        ordered = sorted(week for week in weeks if week in known)
        days = data.get("within_days", document("ctdna")["visits"]["within_days"])
        for one, next_one in pairwise(ordered):
            if isinstance(days, (int, float)) and 7 * (next_one - one) <= 2 * days:
                yield (
                    ("within_days",),
                    f"the windows of week {one} and week {next_one} share days; fewer days or "
                    "other `weeks` are expected",
                )


class Pdl1Rule(Strict):
    """How PD-L1 is read where patients differ in clone, and which cut-offs make tiers.

    Attributes
    ----------
    clone : str
        Values of other clones are read as missing; by default all stay, and are findings.
    tiers : bool
        Add the cut-offs that each value reaches (``pdl1_tps_tier``, ...), by cancer type and clone.
    cutoffs_on : str
        Day, month or year (``2024-05``) on which the cut-offs of ``pdl1_cutoffs.yaml`` are valid;
        by default those that have no end.
    """

    clone: str | None = None
    tiers: bool = False
    cutoffs_on: (
        Annotated[str, BeforeValidator(as_text), Field(pattern=r"^\d{4}(-\d{2}(-\d{2})?)?$")] | None
    ) = None

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """Clones that are not known."""
        known = load_schema("pdl1").fields["pdl1_clone"].enum
        if isinstance(data.get("clone"), str) and data["clone"] not in known:
            yield ("clone",), f"{data['clone']!r} is not known; clones are {', '.join(known)}"


class RegionRule(Strict):
    """How regions of a tumour become one value a patient.

    Attributes
    ----------
    aggregate : {"mean", "median", "max", "min"}
        Over regions; the mean is weighted by area where all regions of the patient have one.
        Scores are whole numbers: for mean and median the lower median is taken.
    inflamed_from : float
        CD8+ cells/mm2 from which a compartment counts as infiltrated. With it the phenotype, where
        none is recorded, follows from the densities: inflamed if the tumour is infiltrated,
        excluded if stroma or margin alone is, else desert. No value is agreed upon.
    """

    aggregate: Literal["mean", "median", "max", "min"] = "mean"
    inflamed_from: Annotated[float, Field(gt=0)] | None = None


class DeconvolutionTable(Strict):
    """A table of cells by deconvolution of expression.

    Attributes
    ----------
    method : {"cibersortx", "quantiseq", "mcpcounter"}
    labels : str
        Column with the patients, or with the cells where patients stand in columns; the first
        one by default.
    cells : list of str
        Cells that become features, as ``data_schemas/signatures.yaml`` names them; all by default.
    assay : str
        Platform, and signature matrix; cells of different ones are not comparable.
    mode : {"relative", "absolute"}
        Of CIBERSORTx, where some cells alone cannot tell it.
    """

    method: Literal["cibersortx", "quantiseq", "mcpcounter"]
    labels: Name | None = None
    cells: Annotated[list[str], Field(min_length=1)] | None = None
    assay: str | None = None
    mode: Literal["relative", "absolute"] | None = None

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """Cells that the method does not estimate."""
        method = signature_sets()["deconvolution"].get(str(data.get("method")))
        known = list(method["cells"].values()) if method else []
        yield from unknown_names("cells", data, known)


class ExpressionMatrix(Strict):
    """How a matrix of bulk expression is written.

    Attributes
    ----------
    unit : {"TPM", "FPKM", "CPM", "counts", "normalised"}
        Quantity before any logarithm. FPKM are brought to TPM, counts to CPM. ``normalised`` is
        anything else that is comparable between patients, such as NanoString counts; signatures
        that compare genes within a patient need TPM or FPKM.
    scale : {"linear", "ln", "log2", "log10"}
        Logarithm that was taken.
    offset : float
        What was added before the logarithm: 1 in log2(TPM + 1).
    genes : {"rows", "columns"}
        Where the genes stand; patients stand in the other.
    labels : str
        Column with the names of the genes (of the patients if genes stand in columns); the first
        one by default. In an h5ad file the column of ``var`` (index by default), whose side counts
        as rows.
    signatures : list of str
        Signatures that become features, by their names in the ``infiltration`` dictionary; all by
        default.
    min_coverage : float
        Share of a signature's genes, by weight, that must be measured.
    assay : str
        Platform and library; scores of different ones are not comparable.
    scale_confirmed : bool
        Unit and scale have been checked although the values look like others.
    """

    unit: Literal["TPM", "FPKM", "CPM", "counts", "normalised"]
    scale: Literal["linear", "ln", "log2", "log10"] = "linear"
    offset: Annotated[float, Field(gt=0)] = 1
    genes: Literal["rows", "columns"] = "rows"
    labels: Name | None = None
    signatures: Annotated[list[str], Field(min_length=1)] | None = None
    min_coverage: Annotated[float, Field(gt=0, le=1)] = 0.8
    assay: str | None = None
    scale_confirmed: bool = False

    @property
    def unit_read(self) -> str:
        """Unit to which the matrix is brought."""
        return {"FPKM": "TPM", "counts": "CPM"}.get(self.unit, self.unit)

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """Find an offset without a logarithm."""
        if "offset" in data and data.get("scale", "linear") == "linear":
            yield ("offset",), "is what was added before a logarithm; state `scale`"
        yield from unknown_names("signatures", data, list(signature_sets()["signatures"]))


def unknown_names(key: str, data: dict[str, Any], known: list[str]) -> Iterator[tuple[Place, str]]:
    """Faults of a list of names."""
    for name in list_of(data.get(key)):
        if isinstance(name, str) and known and name not in known:
            yield (key,), f"{name!r} is not known; there are {', '.join(known)}"
