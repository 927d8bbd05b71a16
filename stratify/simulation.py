"""Cohorts with known truth: every panel in canonical names and units, and the risk behind it.

**All numbers in this module are invented for simulation; they are not estimates.** They stand in
its tables: ``COEFFICIENTS``, ``CANCER_TYPES``, ``MARKERS`` and the shares of gaps.

Latent factors of a patient (``z``: correlated standard normals, ``e``: independent ones, ``[.]``:
1 or 0, ``type``: shift of the cancer type; the other small letters are coefficients)::

    antigenicity A = type + z_A + origin + smoking [ever smoker] + msi [MSI-high]
                     + driver [EGFR or ALK] + hla_loh [HLA LOH]
    infiltration I = type + z_I,   burden B = type + z_B
    checkpoint   C = type + shared I + sqrt(1 - shared^2) e           (PD-1 axis in use)
    host         H = type + z_H + prior_therapy [prior therapy]       (inflammation, frailty)

True risk of primary resistance (rule ``proxy_pfs6``) under anti-PD-(L)1 monotherapy, and with
chemotherapy added, where tumours with few antigens and few T cells gain most and hot ones may
lose (renal cancer has ``infiltration_renal``; with ``prognostic_only`` the first three products
are 0, the next two are multiplied by ``prognostic_scale``, ``effect_heterogeneity`` is 0)::

    log odds = intercept + signal (antigenicity A + infiltration I + checkpoint C
                                   + burden B + host H)
    combined = log odds - effect
               + effect_heterogeneity (effect_antigenicity A + effect_infiltration I)

Markers read the factors with noise, cut to bounds and rounded; one row of ``MARKERS`` each::

    marker = centre + x or, on the log scale, centre exp(x); x = loadings (A, I, C, B, H) + noise e
    NLR = neutrophils / lymphocytes;  MTM/mL = mean VAF x cell-free DNA (ng/mL) x 303
    TPS = 100 u^1.5, u = (expit(1.7 (0.85 C + 0.5 e)) - zero) / (1 - zero), 0 where u < 0
    CPS = min(100, TPS + stained immune cells)

Outcomes: primary resistance is Bernoulli(true risk in the arm received). If primary, PFS ends
before six months without CR or PR; else later or, seldom, before six months after CR or PR.
Imaging then ends at drop-out (exponential, mean ``drop_out`` months) or the data cut-off, survival
follow-up at the cut-off, independently of all else. Among patients evaluable at six months the
share of primary resistance lies up to 0.005 above the true risk: it shows sooner than its absence.
Gaps: a panel is unmeasured at whole sites and, elsewhere, for a site-specific share of patients
(absent rows); single values are empty at random.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator, SeedSequence, default_rng

from stratify.errors import ArgumentError, FileError

__all__ = ["SimulatedCohort", "simulate", "write_study"]

Values = np.ndarray[Any, Any]
Columns = dict[str, Any]  # column -> values
FIRST_DOSES = np.arange("2018-01-01", "2024-01-01", dtype="datetime64[D]")
CUT_OFF, DAYS_PER_MONTH, GENOMES_PER_NG = np.datetime64("2024-12-31", "D"), 30.4375, 303
COEFFICIENTS = {
    # log odds of primary resistance under monotherapy, per unit of the factor
    "intercept": 0.42, "antigenicity": -0.55, "infiltration": -0.50, "infiltration_renal": 0.20,
    "checkpoint": -0.32, "burden": 0.43, "host": 0.48, "prognostic_scale": 1.80,
    # log odds, combination against monotherapy
    "effect": 0.60, "effect_antigenicity": 0.35, "effect_infiltration": 0.35,
    # what moves the factors; share without PD-L1 staining; mean time to drop-out in months
    "origin": -0.36, "smoking": 0.50, "msi": 2.80, "driver": -1.00, "hla_loh": -0.50,
    "shared": 0.50, "prior_therapy": 0.40, "zero": 0.40, "drop_out": 200.0,
}  # fmt: skip
STEPS = ["antigenicity", "infiltration", "checkpoint", "burden", "host"]
CORRELATION = [[1, 0.25, 0, 0], [0.25, 1, -0.1, -0.15], [0, -0.1, 1, 0.4], [0, -0.15, 0.4, 1]]  # z
# Share of the cohort, shifts of the factors, then shares of patients with a property.
CANCER_TYPES = """
type          share antigenicity infiltration checkpoint burden host smoker  msi male
nsclc          0.35          0.1          0.0        0.3    0.0  0.1   0.80 0.01 0.58
melanoma       0.15          0.7          0.3        0.0   -0.2 -0.3   0.40 0.00 0.60
renal          0.10         -0.5          0.5       -0.9    0.0  0.0   0.45 0.01 0.70
bladder        0.09          0.2          0.0        0.0    0.1  0.1   0.70 0.01 0.75
head_and_neck  0.08         -0.1          0.2        0.2    0.0  0.1   0.75 0.01 0.78
gastric        0.06         -0.2         -0.1        0.0    0.2  0.2   0.50 0.08 0.65
colorectal     0.05         -0.3         -0.3       -0.3    0.2  0.0   0.40 0.45 0.55
endometrial    0.04         -0.2         -0.1       -0.1    0.1  0.0   0.25 0.35 0.00
sclc           0.04          0.1         -0.5       -0.6    0.5  0.3   0.97 0.00 0.60
other          0.04         -0.4         -0.2       -0.2    0.1  0.1   0.45 0.02 0.50
"""
# Scale, centre, loadings of the factors, noise, bounds, decimals, share of empty values.
MARKERS = """
marker                  scale  centre  A     I     C     B     H   noise    low  high dec  gap
age                     linear  64     0     0     0     0     1     11   20      90   0 0
bmi                     linear  26.5   0     0     0     0    -0.9    4.5 15      55   1 0.08
albumin                 linear   3.95  0     0     0    -0.05 -0.22  0.37  1.6     5.5 2 0.05
neutrophils             log      5.0   0     0     0     0     0.26  0.24  1.2    18   2 0.03
lymphocytes             log      1.26  0     0     0     0    -0.26  0.30  0.3     6   2 0.03
platelets               log    255     0     0     0     0     0.16  0.24 30    1100   0 0.03
hemoglobin              linear  12.7   0     0     0     0    -0.8   1.4   6      18.5 1 0.03
ldh_ratio               log      0.95  0     0     0     0.32  0.08  0.24  0.3    15   2 0.15
sum_of_diameters        log     75     0     0     0     0.5   0     0.35 10     500   0 0.12
tmb                     log      6.0   0.62  0     0     0     0     0.38  0.2   100   2 0
fraction_genome_altered log      0.2   0    -0.15  0     0.15  0     0.5   0       0.9 3 0.15
hed                     linear   7.6   0.25  0     0     0     0     2.2   0      14   2 0.30
cd8_density             log    250     0     0.9   0     0     0     0.5   1    9000   0 0
gep                     linear   0     0.1   0.75  0.25  0     0     0.45 -6       6   3 0.35
ctdna_mean_vaf          log      0.008 0     0     0     1     0     0.8   0.0001  0.6 5 0
cfdna_concentration     log     12     0     0     0     0.45  0.15  0.4   1    2000   2 0.25
"""
PANELS = {  # all other columns are clinical
    "pdl1": "pdl1_tps pdl1_cps",
    "tmb": "tmb msi_high fraction_genome_altered hla_loh hed egfr_mutation alk_fusion",
    "infiltration": "cd8_density til_score immune_phenotype gep",
    "ctdna": "ctdna_detected ctdna_max_vaf ctdna_mean_vaf cfdna_concentration",
}
# Shares of gaps: sites without a panel, patients of a mean other site, further single values.
SITE_GAP, PANEL_GAPS = 0.2, {"pdl1": 0.15, "tmb": 0.2, "infiltration": 0.3, "ctdna": 0.3}
VALUE_GAPS: dict[Any, float] = dict.fromkeys(["ecog", "ever_smoker", "prior_lines"], 0.05)
VALUE_GAPS |= dict.fromkeys(["pdl1_cps", "hla_loh", "til_score", "immune_phenotype"], 0.2)


@dataclass(frozen=True, eq=False)
class SimulatedCohort:
    """A cohort and the truth that made it.

    Attributes
    ----------
    panels : dict of str to pandas.DataFrame
        Tables named as the schemas (clinical, pdl1, tmb, infiltration, ctdna, outcomes), one row
        a measured patient, ``patient_id`` first, canonical columns and units; times in months.
    truth : pandas.DataFrame
        Patient, log-odds and risk (probability of primary resistance by ``proxy_pfs6``) alone and
        in combination, ``effect = risk_mono - risk_combination``, and the arm received; with
        ``planted_shift`` the ``planted`` step too.
    mechanism : pandas.DataFrame
        Patient and what each step adds to ``log_odds_mono`` (the intercept plus their sum).

    Examples
    --------
    >>> list(simulate(50, seed=1).mechanism)
    ['patient_id', 'antigenicity', 'infiltration', 'checkpoint', 'burden', 'host']
    """

    panels: dict[str, pd.DataFrame]
    truth: pd.DataFrame
    mechanism: pd.DataFrame


def simulate(
    n: int = 600,
    *,
    seed: int = 0,
    n_sites: int = 4,
    combination_share: float = 0.0,
    effect_heterogeneity: float = 1.0,
    missingness: float = 1.0,
    signal: float = 1.0,
    prognostic_only: bool = False,
    planted_shift: float = 0.0,
) -> SimulatedCohort:
    """Draw a cohort of advanced cancers treated with anti-PD-(L)1, alone or with chemotherapy.

    The same arguments give identical tables. For one ``seed`` and ``n``, a patient's true baseline
    values do not change with the other arguments.

    Parameters
    ----------
    n, n_sites, seed : int
        Patients and centres (of unequal size), 1 or more; seed of all draws, 0 or more.
    combination_share : float
        Probability of randomisation to ``ici_chemotherapy`` rather than ``anti_pd1_pdl1``, 0 to 1.
    effect_heterogeneity : float
        Weight of antigenicity and infiltration in the effect, 0 (same log-odds for all) to 3.
    missingness, signal : float
        Multiply all shares of gaps (0, complete panels, to 2) and what the factors add to the
        log-odds (0, one risk for everybody, to 3).
    prognostic_only : bool
        Only burden and host carry risk, and no marker tells who gains from the combination.
    planted_shift : float
        One step of each patient, drawn evenly, is moved by this many units of its factor towards
        resistance, 0 to 6; its markers follow.

    Returns
    -------
    SimulatedCohort
        Panels, truth and mechanism.

    Raises
    ------
    ArgumentError
        If an argument is of the wrong kind or out of its range.

    Examples
    --------
    >>> list(simulate(200, seed=7).panels)
    ['clinical', 'pdl1', 'tmb', 'infiltration', 'ctdna', 'outcomes']
    """
    _check("n", n, Integral, 1, 10_000_000)
    _check("seed", seed, Integral, 0, 2**32 - 1)
    _check("n_sites", n_sites, Integral, 1, 1000)
    _check("combination_share", combination_share, Real, 0, 1)
    _check("effect_heterogeneity", effect_heterogeneity, Real, 0, 3)
    _check("missingness", missingness, Real, 0, 2)
    _check("signal", signal, Real, 0, 3)
    _check("prognostic_only", prognostic_only, bool, 0, 1)
    _check("planted_shift", planted_shift, Real, 0, 6)
    # One stream a purpose: an argument leaves the draws that it does not concern as they are.
    *seeds, planting = SeedSequence(int(seed)).spawn(6)
    streams = map(default_rng, seeds)
    facts, factors = _patients(next(streams), n)
    b = COEFFICIENTS
    weights = np.tile([b[step] for step in STEPS], (n, 1))
    weights[facts["cancer_type"] == "renal", 1] = b["infiltration_renal"]
    planted = default_rng(planting).integers(len(STEPS), size=n)
    hit = np.arange(n), planted
    factors[hit] += planted_shift * np.sign(weights[hit])
    values = _design(next(streams), n, n_sites, combination_share) | facts
    values |= _markers(next(streams), facts, factors)
    combined = values["arm"] == "ici_chemotherapy"
    if prognostic_only:
        weights *= np.array([0, 0, 0, b["prognostic_scale"], b["prognostic_scale"]])
        effect_heterogeneity = 0.0
    terms = signal * weights * factors
    mono = b["intercept"] + terms.sum(axis=1)
    modifier = b["effect_antigenicity"] * factors[:, 0] + b["effect_infiltration"] * factors[:, 1]
    both = mono - b["effect"] + effect_heterogeneity * modifier
    truth: Columns = {"log_odds_mono": mono, "risk_mono": _expit(mono)}
    truth |= {"log_odds_combination": both, "risk_combination": _expit(both)}
    truth |= {"effect": _expit(mono) - _expit(both), "arm": values["arm"]}
    if planted_shift:
        truth["planted"] = np.array(STEPS, dtype=object)[planted]
    risk = _expit(np.where(combined, both, mono))
    outcomes = _outcomes(next(streams), risk, factors, values["first_dose_date"])
    ids = ("P" + pd.Series(np.arange(1, n + 1)).astype(str).str.zfill(len(str(n)))).to_numpy()
    tables = {k: {c: values.pop(c) for c in v.split()} for k, v in PANELS.items()}
    panels = {k: _frame(ids, v) for k, v in ({"clinical": values} | tables).items()}
    _open_gaps(next(streams), panels, missingness)
    panels["outcomes"] = _frame(ids, outcomes)
    mechanism = dict(zip(STEPS, terms.T, strict=True))
    return SimulatedCohort(panels, _frame(ids, truth), _frame(ids, mechanism))


def _check(name: str, value: Any, kind: Any, low: int, high: int) -> None:
    right = isinstance(value, kind) and isinstance(value, bool) == (kind is bool)
    if not (right and low <= value <= high):
        number = f"a {'whole ' if kind is Integral else ''}number from {low} to {high}"
        found = f"`{name}` is {value!r}, expected {'True or False' if kind is bool else number}."
        raise ArgumentError(f"{found} Pass such a value, or leave `{name}` out for its default.")


def _table(text: str) -> Any:  # a DataFrame, with values of any kind
    return pd.read_csv(io.StringIO(text), sep=r"\s+", index_col=0)


def _expit(x: Values) -> Values:
    return np.asarray(1 / (1 + np.exp(-x)))


def _frame(ids: Values, columns: Columns) -> pd.DataFrame:
    table = pd.DataFrame({"patient_id": ids} | columns)
    nullable = {"b": "boolean", "i": "Int64"}
    return table.astype({c: nullable[t.kind] for c, t in table.dtypes.items() if t.kind in "bi"})


def _patients(rng: Generator, n: int) -> tuple[Columns, Values]:
    """Properties of the patients, and the factors with columns in the order of STEPS."""
    b, types = COEFFICIENTS, _table(CANCER_TYPES)
    row = rng.choice(len(types), n, p=types["share"])
    share = {c: types[c].to_numpy()[row] for c in types}
    z = rng.standard_normal((n, 4)) @ np.linalg.cholesky(CORRELATION).T
    own, u, lung = rng.standard_normal(n), rng.random((8, n)), row == 0
    smoker, msi = u[0] < share["smoker"], u[1] < share["msi"]
    hla_loh, prior = u[2] < 0.17, u[3] < 0.45
    egfr = lung & (u[4] < np.where(smoker, 0.06, 0.25))
    alk = lung & ~egfr & (u[5] < np.where(smoker, 0.01, 0.06))
    factors = np.column_stack([share[step] for step in STEPS])
    factors[:, [0, 1, 3, 4]] += z
    factors[:, 0] += b["origin"] + b["smoking"] * smoker + b["msi"] * msi
    factors[:, 0] += b["driver"] * (egfr | alk) + b["hla_loh"] * hla_loh
    factors[:, 2] += b["shared"] * factors[:, 1] + np.sqrt(1 - b["shared"] ** 2) * own
    factors[:, 4] += b["prior_therapy"] * prior
    facts: Columns = {"sex": np.where(u[6] < share["male"], "male", "female")}
    facts["cancer_type"] = types.index.to_numpy(object)[row]
    facts["histology"] = pd.Series(np.where(u[7] < 0.7, "non_squamous", "squamous")).where(lung)
    facts |= {"ever_smoker": smoker, "prior_systemic_therapy": prior, "msi_high": msi}
    facts |= {"hla_loh": hla_loh, "egfr_mutation": egfr, "alk_fusion": alk}
    return facts, factors


def _markers(rng: Generator, facts: Columns, factors: Values) -> Columns:
    """Measured values before the gaps, but NLR and MTM/mL."""
    _, infiltration, checkpoint, burden, host = factors.T
    n, zero, v = len(factors), COEFFICIENTS["zero"], dict[str, Any]()
    for m in _table(MARKERS).itertuples():
        x = factors @ np.array(m[3:8]) + m.noise * rng.standard_normal(n)
        x = m.centre + x if m.scale == "linear" else m.centre * np.exp(x)
        v[m.Index] = x.clip(m.low, m.high).round(m.dec)
    e, u = rng.standard_normal((6, n)), rng.random((3, n))
    stained = (_expit(1.7 * (0.85 * checkpoint + 0.5 * e[0])) - zero) / (1 - zero)
    tps = v["pdl1_tps"] = np.ceil(100 * stained.clip(0) ** 1.5)
    v["pdl1_cps"] = (tps + np.exp(1 + 0.6 * infiltration + 0.5 * e[1]).round()).clip(0, 100)
    v["til_score"] = np.digitize(v["cd8_density"] * np.exp(0.3 * e[2]), [60, 250, 800])
    pattern = np.digitize(infiltration + 0.6 * e[3], [-0.7, 0.3])
    v["immune_phenotype"] = np.array(["desert", "excluded", "inflamed"])[pattern]
    v["ctdna_detected"] = u[0] < _expit(1.6 + burden)
    v["ctdna_mean_vaf"] *= v["ctdna_detected"]
    v["ctdna_max_vaf"] = (v["ctdna_mean_vaf"] * (1 + np.exp(e[4] - 0.5))).clip(0, 0.95).round(5)
    v["stage_iv"] = u[1] < 0.9
    v["liver_metastases"] = v["stage_iv"] & (u[2] < _expit(-1.3 + 0.9 * burden))
    v["metastatic_sites"] = v["stage_iv"] * (1 + rng.poisson(np.exp(0.3 + 0.4 * burden)).clip(0, 9))
    v["prior_lines"] = facts["prior_systemic_therapy"] * (1 + rng.poisson(0.5, n))
    v["ecog"] = np.digitize(0.6 * host + 0.3 * burden + 0.7 * e[5], [-0.1, 1.2])
    return v


def _design(rng: Generator, n: int, n_sites: int, combination_share: float) -> Columns:
    size, first = 1 / np.sqrt(np.arange(1, n_sites + 1)), rng.choice(FIRST_DOSES, n)
    sites = np.array([f"site_{k + 1}" for k in range(n_sites)], dtype=object)
    arm = np.where(rng.random(n) < combination_share, "ici_chemotherapy", "anti_pd1_pdl1")
    year = first.astype("datetime64[Y]").astype(int) + 1970
    design = {"site": sites[rng.choice(n_sites, n, p=size / size.sum())], "regimen": arm}
    return design | {"arm": arm, "first_dose_date": first, "start_year": year}


def _outcomes(rng: Generator, risk: Values, factors: Values, start: Values) -> Columns:
    """Outcomes in months from the true risk in the arm received."""
    u, wait = rng.random((6, len(risk))), rng.exponential(size=(3, len(risk)))
    primary = u[0] < risk
    responds = ~primary & (u[1] < 0.8 - 0.4 * risk)
    complete, relapse = responds & (u[2] < 0.2), responds & (u[2] > 0.95)
    early = np.where(primary, 6 * rng.beta(1.8, 3.2, len(risk)), 3 + 3 * u[3]).clip(0.1, 5.9)
    late = 6 + np.select([complete, responds], [60, 18], 6) * (1.2 - risk) * wait[0]
    pfs = np.where(primary | relapse, early, late)
    dies = u[4] < _expit(-2.2 + 0.5 * factors[:, 4])  # PFS ends with death
    pace = np.exp(0.35 * (factors[:, 3] + factors[:, 4]) + 0.3 * primary)
    os = pfs + np.where(dies, 0, 0.1 + 10 * wait[1] / pace)
    cut_off = (CUT_OFF - start).astype(int) / DAYS_PER_MONTH
    stop = np.minimum(0.03 + COEFFICIENTS["drop_out"] * wait[2], cut_off)
    lost, died = pfs > stop, os <= cut_off
    pfs, os = np.minimum(pfs, stop).round(2), np.minimum(os, cut_off).round(2)
    os = np.where(lost & died, np.maximum(os, pfs + 0.01), os).round(2)
    # Stable disease needs six weeks; death before the first scan leaves no response.
    stable = (pfs >= 1.4) & (u[5] < 0.1 + 0.08 * pfs)
    unseen = np.where(lost, pfs < 1.9, primary & dies & ((pfs < 2) | (u[5] > 0.7)))
    rules = {"NE": unseen, "CR": complete, "PR": responds, "SD": ~primary | lost | dies | stable}
    best = np.select(list(rules.values()), list(rules), "PD")
    times = {"pfs": pfs, "pfs_event": ~lost, "os": os, "os_event": died}
    objective = pd.Series(responds, dtype="boolean").mask(unseen)
    return {"best_response": best, "objective_response": objective} | times


def _open_gaps(rng: Generator, panels: dict[str, pd.DataFrame], missingness: float) -> None:
    """Empty single values, then leave out the patients without the panel, in place."""
    site, sites = pd.factorize(panels["clinical"]["site"], sort=True)
    gaps = VALUE_GAPS | _table(MARKERS)["gap"].to_dict()
    for name, table in panels.items():
        for c in [c for c in table if c in gaps]:
            table[c] = table[c].mask(rng.random(len(table)) < missingness * gaps[c])
        if name == "clinical":
            table["nlr"] = (table["neutrophils"] / table["lymphocytes"]).round(2)
        if name == "ctdna":
            mean_vaf, dna = table["ctdna_mean_vaf"], table["cfdna_concentration"]
            table["ctdna_mtm_per_ml"] = mean_vaf * dna * GENOMES_PER_NG
        luck, base = rng.random(len(sites)), PANEL_GAPS.get(name, 0)
        share = (missingness * base * rng.uniform(0, 2, len(sites))).clip(0, 0.9)
        share[(luck < missingness * SITE_GAP) & (luck < luck.max()) & (base > 0)] = 1
        panels[name] = table[rng.random(len(table)) >= share[site]].reset_index(drop=True)


# How a hospital would write the columns: new name, and what is done to the values.
_AS_EXPORTED: dict[Any, tuple[str, Any]] = {
    "albumin": ("ALB_g_L", lambda values: (values * 10).round(1)),
    "hemoglobin": ("HB_g_L", lambda values: (values * 10).round(0)),
    "sex": ("SEX", lambda values: values.map({"female": "F", "male": "M"})),
    "pfs": ("PFS_days", lambda values: (values * 30.4375).round(0)),
    "os": ("OS_days", lambda values: (values * 30.4375).round(0)),
    "pfs_event": ("PFS_CNSR", lambda values: 1 - values.astype("Int64")),
    "os_event": ("OS_CNSR", lambda values: 1 - values.astype("Int64")),
}
_AS_STATED: dict[str, dict[str, Any]] = {
    "albumin": {"unit": "g/L"},
    "hemoglobin": {"unit": "g/L"},
    "sex": {"coding": {"F": "female", "M": "male"}},
    "pfs": {"unit": "days"},
    "os": {"unit": "days"},
    "pfs_event": {"coding": {"0": True, "1": False}},
    "os_event": {"coding": {"0": True, "1": False}},
    "age": {"unit": "years"},
    "neutrophils": {"unit": "10^9/L"},
    "lymphocytes": {"unit": "10^9/L"},
    "platelets": {"unit": "10^9/L"},
    "sum_of_diameters": {"unit": "mm"},
    "pdl1_tps": {"unit": "percent", "assay": "22C3"},
    "pdl1_cps": {"assay": "22C3"},
    "tmb": {"unit": "mut/Mb", "assay": "simulated panel"},
    "fraction_genome_altered": {"unit": "fraction"},
    "cd8_density": {"unit": "cells/mm2"},
    "ctdna_max_vaf": {"unit": "fraction", "assay": "simulated assay"},
    "ctdna_mean_vaf": {"unit": "fraction", "assay": "simulated assay"},
    "ctdna_mtm_per_ml": {"assay": "simulated assay"},
    "cfdna_concentration": {"unit": "ng/mL"},
}


def write_study(folder: str | Path, *, n: int = 600, seed: int = 0) -> Path:
    """Write a simulated study as hospitals export it, with its study file.

    A training cohort of `n` patients and an external one of half the size, of other patients, in
    one CSV a panel; albumin in g/L, survival in days, 1 = censored, codes in place of words. The
    study file states all of it. The policy's errors are an illustration.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     study = write_study(folder, n=100)
    ...     sorted(path.name for path in study.parent.iterdir())
    ['external', 'study.yaml', 'train']
    """
    import yaml

    folder = Path(folder)
    cohorts = []
    for name, size, cohort_seed in (("train", n, seed), ("external", n // 2, seed + 1_000_003)):
        panels = simulate(size, seed=cohort_seed).panels
        try:
            (folder / name).mkdir(parents=True, exist_ok=True)
            for panel, table in panels.items():
                _exported(table).to_csv(folder / name / f"{panel}.csv", index=False)
        except OSError as error:
            raise FileError(f"{folder / name} cannot be written: {error.strerror}.") from error
        tables = [
            {
                "file": f"{name}/{panel}.csv",
                "patient_id": "patient_id",
                "panels": {panel: _stated(panels[panel])},
            }
            for panel in panels
        ]
        cohorts.append({"name": f"simulated_{name}", "role": name, "tables": tables})
    study = {
        "stratify": 1,
        "name": "demo",
        "title": "Simulated cohort, anti-PD-(L)1 monotherapy",
        "description": "Simulated patients; no figure here says anything about real ones.",
        "endpoint": "proxy_pfs6",
        "policy": {
            "name": "demo",
            "version": "1",
            "source": "illustration only, simulated patients",
            "errors": {"monotherapy": 0.5, "combination": 0.3, "confidence": 0.9},
        },
        "cohorts": cohorts,
    }
    path = folder / "study.yaml"
    text = yaml.safe_dump(study, sort_keys=False, allow_unicode=True)
    path.write_text(text, encoding="utf-8")
    return path


def _exported(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            _AS_EXPORTED[name][0] if name in _AS_EXPORTED else name: (
                _AS_EXPORTED[name][1](values) if name in _AS_EXPORTED else values
            )
            for name, values in table.items()
        }
    )


def _stated(table: pd.DataFrame) -> dict[str, Any]:
    return {
        str(name): {
            "column": _AS_EXPORTED[name][0] if name in _AS_EXPORTED else str(name),
            **_AS_STATED.get(str(name), {}),
        }
        for name in table.columns
        if name != "patient_id"
    }
