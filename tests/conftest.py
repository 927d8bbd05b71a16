"""A small study as a hospital exports it, in which tests plant defects."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stratify.cohort.reading import Cohort, read_cohort
from stratify.study import Study
from stratify.tables.schema import signature_sets

N = 160

MAPPING: dict[str, dict[str, Any]] = {
    "clinical": {
        "site": "Centre",
        "regimen": {"column": "Drug", "coding": {"Drug A": "anti_pd1_pdl1"}},
        "first_dose_date": "First dose",
        "start_year": "Year",
        "blood_sample_date": "Blood date",
        "age": {"column": "Age", "unit": "years"},
        "sex": {"column": "Sex", "coding": {"F": "female", "M": "male"}},
        "cancer_type": "Tumour",
        "ecog": "ECOG",
        "ever_smoker": {"column": "Smoker", "coding": {"yes": True, "no": False}},
        "bmi": "BMI",
        "albumin": {"column": "Albumin", "unit": "g/L"},
        "nlr": "NLR",
    },
    "pdl1": {
        "pdl1_sample_date": {"column": "Biopsy", "date_format": "%d.%m.%Y"},
        "pdl1_tps": {"column": "TPS", "unit": "percent", "assay": "22C3"},
        "pdl1_cps": {"column": "CPS", "unit": "score", "assay": "22C3"},
    },
    "tmb": {
        "tmb": {"column": "TMB", "unit": "mut/Mb", "assay": "panel X"},
        "msi_high": {"column": "MSI", "coding": {0: False, 1: True}},
        "fraction_genome_altered": {"column": "FGA", "unit": "fraction"},
    },
    "infiltration": {
        "cd8_density": {"column": "CD8", "unit": "cells/mm2"},
        "til_score": "TIL",
        "immune_phenotype": "Phenotype",
    },
    "ctdna": {
        "ctdna_detected": {"column": "ctDNA", "coding": {"+": True, "-": False}},
        "ctdna_max_vaf": {"column": "MSAF", "unit": "fraction", "assay": "plasma X"},
    },
    "outcomes": {
        "best_response": "Response",
        "pfs": {"column": "PFS", "unit": "months"},
        "pfs_event": {"column": "Progressed", "coding": {0: False, 1: True}},
        "os": {"column": "OS", "unit": "months"},
        "os_event": {"column": "Died", "coding": {0: False, 1: True}},
    },
}
FILES = {
    "clinical": ("clinical",),
    "markers": ("pdl1", "tmb", "infiltration", "ctdna"),
    "outcomes": ("outcomes",),
}


def _texts(values: Any, decimals: int) -> list[str]:
    return [f"{value:.{decimals}f}" for value in values]


def hospital_tables(n: int, seed: int) -> dict[str, pd.DataFrame]:
    """Draw patients and write them down as text, as an export does."""
    rng = np.random.default_rng(seed)
    ids = [f"{seed}-{i:03d}" for i in range(1, n + 1)]
    first = pd.Timestamp("2019-01-07") + pd.to_timedelta(rng.integers(0, 1400, n), unit="D")
    blood = first - pd.to_timedelta(rng.integers(0, 20, n), unit="D")
    biopsy = first - pd.to_timedelta(rng.integers(5, 400, n), unit="D")
    tps = np.where(rng.random(n) < 0.3, 0, rng.integers(1, 100, n))
    detected = rng.random(n) < 0.7
    primary = np.arange(n) % 2 == 0
    lost = ~primary & (rng.random(n) < 0.4)
    pfs = np.where(primary, rng.uniform(0.8, 5.5, n), 6.5 + rng.exponential(9, n))
    response = np.where(
        primary,
        np.where(rng.random(n) < 0.7, "PD", "SD"),
        rng.choice(["CR", "PR", "SD"], n, p=[0.2, 0.5, 0.3]),
    )
    markers = {
        "Patient": ids,
        "Biopsy": biopsy.strftime("%d.%m.%Y"),
        "TPS": tps.astype(str),
        "CPS": np.minimum(100, tps + rng.integers(0, 20, n)).astype(str),
        "TMB": _texts(np.clip(rng.lognormal(1.8, 0.7, n), 0.3, 90), 2),
        "MSI": (rng.random(n) < 0.1).astype(int).astype(str),
        "FGA": _texts(rng.beta(2, 6, n), 4),
        "CD8": _texts(rng.lognormal(5.5, 0.9, n), 1),
        "TIL": rng.integers(0, 4, n).astype(str),
        "Phenotype": rng.choice(["desert", "excluded", "inflamed"], n),
        "ctDNA": np.where(detected, "+", "-"),
        "MSAF": _texts(np.where(detected, rng.uniform(0.002, 0.5, n), 0), 4),
    }
    clinical = {
        "Patient": ids,
        "Centre": rng.choice(["North", "South", "West"], n),
        "Drug": "Drug A",
        "First dose": first.strftime("%Y-%m-%d"),
        "Year": first.year.astype(str),
        "Blood date": blood.strftime("%Y-%m-%d"),
        "Age": _texts(np.clip(rng.normal(64, 10, n), 25, 90), 1),
        "Sex": rng.choice(["F", "M"], n),
        "Tumour": rng.choice(["nsclc", "melanoma"], n),
        "ECOG": rng.integers(0, 3, n).astype(str),
        "Smoker": rng.choice(["yes", "no"], n),
        "BMI": _texts(np.clip(rng.normal(26, 4, n), 16, 45), 1),
        "Albumin": _texts(np.clip(rng.normal(39, 4, n), 20, 52), 1),
        "NLR": _texts(np.clip(rng.lognormal(1.3, 0.5, n), 0.5, 30), 2),
    }
    outcomes = {
        "Patient": ids,
        "Response": response,
        "PFS": _texts(pfs, 2),
        "Progressed": (~lost).astype(int).astype(str),
        "OS": _texts(pfs + rng.exponential(8, n), 2),
        "Died": (rng.random(n) < 0.5).astype(int).astype(str),
    }
    return {
        "clinical": pd.DataFrame(clinical, dtype=object),
        "markers": pd.DataFrame(markers, dtype=object),
        "outcomes": pd.DataFrame(outcomes, dtype=object),
    }


RAW: dict[str, dict[str, Any]] = {
    "mutations": {
        "burden": {"scored_mb": 0.8, "consequences": ["missense", "nonsense"], "assay": "panel X"},
        "columns": {
            "chromosome": "Chr",
            "position": "Start",
            "reference_allele": "Ref",
            "alternate_allele": "Alt",
            "consequence": "Class",
            "vaf": {"column": "VAF", "unit": "fraction"},
        },
    },
    "plasma_variants": {
        "columns": {
            "draw_day": {"column": "Day", "unit": "days"},
            "gene": "Gene",
            "chromosome": "Chr",
            "position": "Start",
            "reference_allele": "Ref",
            "alternate_allele": "Alt",
            "consequence": "Class",
            "vaf": {"column": "VAF", "unit": "fraction", "assay": "plasma X"},
        },
    },
    "plasma_draws": {
        "columns": {
            "draw_day": {"column": "Day", "unit": "days"},
            "ctdna_mean_vaf": {"column": "VAF", "unit": "fraction", "assay": "plasma X"},
            "cfdna_concentration": {"column": "DNA", "unit": "ng/mL"},
        },
    },
    "regions": {
        "columns": {
            "region_id": "Region",
            "area": {"column": "Area", "unit": "mm2"},
            "cd8_cells": "Cells",
            "cd8_density": {"column": "Density", "unit": "cells/mm2"},
        },
    },
}


def raw_measurements(name: str, ids: list[str]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Raw measurements of patients as text, and their entry in a study file."""
    n = 2 * len(ids)
    rng = np.random.default_rng(17)
    twice = np.repeat(ids, 2)
    if name == "expression":
        genes = sorted(signature_sets()["genes"])
        tpm = rng.lognormal(3, 1.5, (len(genes), len(ids))).round(2)
        texts = pd.DataFrame(tpm.astype(str), columns=ids, dtype=object)
        matrix = pd.concat([pd.Series(genes, name="gene", dtype=object), texts], axis=1)
        return matrix, {"expression": {"unit": "TPM", "assay": "RNA X"}}
    if name == "deconvolution":
        shares = rng.dirichlet(np.ones(3), len(ids)).round(4)
        shares[:, 2] = 1 - shares[:, :2].sum(axis=1)
        cells = pd.DataFrame(shares, columns=["B cells naive", "T cells CD8", "Monocytes"])
        cells = cells.round(4).assign(**{"P-value": 0.01}).astype(str).astype(object)
        cells.insert(0, "Mixture", ids)
        return cells, {"deconvolution": {"method": "cibersortx"}}
    columns = {
        "Patient": twice,
        "Day": np.tile(["-3", "42" if name == "plasma_draws" else "-3"], len(ids)),
        "Chr": np.tile(["12", "17"], len(ids)),
        "Start": (1000 + rng.integers(0, 9000, n)).astype(str),
        "Ref": "C",
        "Alt": "T",
        "Gene": np.tile(["KRAS", "TP53"], len(ids)),
        "Class": "Missense_Mutation",
        "VAF": _texts(rng.uniform(0.01, 0.2, n), 4),
        "DNA": _texts(rng.uniform(5, 50, n), 1),
        "Region": np.tile(["1", "2"], len(ids)),
        "Area": "2.0",
        "Cells": (cells := rng.integers(50, 900, n) * 2).astype(str),
        "Density": _texts(cells / 2, 1),
    }
    entry = RAW[name]
    used = [c["column"] if isinstance(c, dict) else c for c in entry["columns"].values()]
    table = pd.DataFrame({c: columns[c] for c in ("Patient", *used)}, dtype=object)
    stated = {"patient_id": "Patient", "panels": {name: copy.deepcopy(entry["columns"])}}
    if "burden" in entry:
        stated["burden"] = copy.deepcopy(entry["burden"])
    return table, stated


class HospitalStudy:
    """Files and study document of one or more cohorts; change them, then read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tables: dict[str, pd.DataFrame] = {}
        self.document: dict[str, Any] = {
            "stratify": 1,
            "name": "hospital",
            "data": str(folder),
            "cohorts": [],
        }
        self.add_cohort("home")

    def add_cohort(self, name: str, role: str = "train", *, n: int = N, seed: int = 7) -> None:
        """Add a cohort; the files of all but the first carry its name."""
        prefix = f"{name}_" if self.document["cohorts"] else ""
        tables = hospital_tables(n, seed)
        self.tables |= {prefix + file: table for file, table in tables.items()}
        sources = [
            {
                "file": f"{prefix}{file}.csv",
                "patient_id": "Patient",
                "panels": copy.deepcopy({panel: MAPPING[panel] for panel in panels}),
            }
            for file, panels in FILES.items()
        ]
        self.document["cohorts"].append({"name": name, "role": role, "tables": sources})

    def add_visits(self) -> None:
        """Give the first cohort visits in place of best response and PFS.

        Every second patient progresses at day 42, confirmed at day 84; the others respond and are
        followed to day 210.
        """
        mapped = self.source("outcomes")["panels"]["outcomes"]
        for name in ("best_response", "pfs", "pfs_event"):
            del mapped[name]
        self.tables["outcomes"] = self.tables["outcomes"][["Patient", "OS", "Died"]]
        self.change("outcomes", "OS", "12")
        rows = []
        for i, patient in enumerate(self.tables["clinical"]["Patient"]):
            course = {-7: 60, 42: 80, 84: 95} if i % 2 == 0 else {-7: 60, 42: 40, 84: 35, 210: 36}
            rows += [(patient, str(day), f"{mm}.0", "false") for day, mm in course.items()]
        self.tables["visits"] = pd.DataFrame(
            rows, columns=["Patient", "Day", "Sum", "New"], dtype=object
        )
        self.document["cohorts"][0]["tables"].append(
            {
                "file": "visits.csv",
                "patient_id": "Patient",
                "panels": {
                    "visits": {
                        "visit_day": {"column": "Day", "unit": "days"},
                        "target_sum": {"column": "Sum", "unit": "mm"},
                        "new_lesion": "New",
                    }
                },
            }
        )

    def add_lesions(self) -> None:
        """Like :meth:`add_visits`, with one row for each of two target lesions."""
        self.add_visits()
        table = self.tables.pop("visits")
        halves = [
            table.assign(Lesion=name, Sum=[f"{float(mm) / 2:.1f}" for mm in table["Sum"]])
            for name in ("T1", "T2")
        ]
        self.tables["lesions"] = pd.concat(halves).assign(Kind="target").drop(columns="New")
        self.tables["lesions"] = self.tables["lesions"].sort_index(kind="stable", ignore_index=True)
        source = self.document["cohorts"][0]["tables"][-1]
        source["file"] = "lesions.csv"
        source["panels"] = {
            "lesions": {
                "visit_day": {"column": "Day", "unit": "days"},
                "lesion_id": "Lesion",
                "kind": "Kind",
                "diameter": {"column": "Sum", "unit": "mm"},
            }
        }

    def add_measurements(self, name: str, cohort: int = 0) -> None:
        """Give a cohort a clean table of raw measurements, of its patients, two rows a patient."""
        ids = self.tables["clinical" if not cohort else "away_clinical"]["Patient"]
        table, entry = raw_measurements(name, list(ids))
        file = name if not cohort else f"away_{name}"
        self.tables[file] = table
        self.document["cohorts"][cohort]["tables"].append({"file": f"{file}.csv", **entry})

    def source(self, file: str) -> dict[str, Any]:
        """Entry of a file in the study document."""
        for cohort in self.document["cohorts"]:
            for table in cohort["tables"]:
                if table["file"].rpartition(".")[0] == file:
                    return table
        raise KeyError(file)

    def column(self, name: str) -> dict[str, Any]:
        """Entry of a canonical column in the first cohort, as a mapping."""
        for table in self.document["cohorts"][0]["tables"]:
            for columns in table.get("panels", {}).values():
                if name in columns:
                    if isinstance(columns[name], str):
                        columns[name] = {"column": columns[name]}
                    return columns[name]
        raise KeyError(name)

    def plant(self, file: str, column: str, values: dict[int, Any]) -> None:
        """Write cells by their line in the file (the header is line 1)."""
        for line, value in values.items():
            self.tables[file].loc[line - 2, column] = value

    def change(self, file: str, column: str, to: Any) -> None:
        """Write a whole column: one value, or a function of each cell."""
        table = self.tables[file]
        table[column] = table[column].map(to) if callable(to) else to

    def leave_out(self, *panels: str) -> None:
        """Map no column of these panels, but the regimen and the first dose."""
        always = ("regimen", "first_dose_date")
        for cohort in self.document["cohorts"]:
            for table in cohort["tables"]:
                for panel in set(table.get("panels", {})) & set(panels):
                    kept = {k: v for k, v in table["panels"][panel].items() if k in always}
                    table["panels"][panel] = kept
            cohort["tables"] = [
                t for t in cohort["tables"] if "panels" not in t or any(t["panels"].values())
            ]

    def write(self) -> None:
        for file, table in self.tables.items():
            table.to_csv(self.folder / f"{file}.csv", index=False)

    def study(self) -> Study:
        return Study.model_validate(copy.deepcopy(self.document))

    def read(self, **options: bool) -> Cohort:
        """Write the files and read the cohort."""
        self.write()
        return read_cohort(self.study(), **options)

    def findings(self, *severities: str, **options: bool) -> list[dict[str, Any]]:
        """Findings of the given severities (all by default) without their advice."""
        table = self.read(**options).findings.table().drop(columns="advice")
        if severities:
            table = table[table["severity"].isin(severities)]
        return table.to_dict("records")


@pytest.fixture
def hospital(tmp_path: Path) -> HospitalStudy:
    """A clean study of 160 patients in three files."""
    return HospitalStudy(tmp_path)
