"""Burden from mutations, reported beside derived, transforms, harmonisation; whole findings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats
from sklearn.preprocessing import PowerTransformer

from stratify.biomarkers.derivation import DerivationRules, with_derivations
from stratify.biomarkers.derivations import derivations
from stratify.biomarkers.measurement import add_measured
from stratify.biomarkers.tmb import (
    TissueBurden,
    capped_tmb,
    log_tmb,
    mutation_findings,
    tissue_burden,
)
from stratify.biomarkers.tmb_scale import (
    TmbCalibration,
    WithinAssayScale,
    add_harmonised,
)
from stratify.biomarkers.variants import grouped
from stratify.cohort.features import features_matrix, informative_features
from stratify.errors import ArgumentError
from stratify.tables.findings import Findings
from stratify.tables.measurements import BurdenRule
from stratify.tables.panel import read_panels
from stratify.tables.schema import load_schema
from stratify.tables.sources import TableSource

CODING = ["missense", "nonsense", "frameshift", "inframe_indel", "splice_site"]


def added(patients, table, rule, findings):
    """Patients with the burden of a table of mutations."""
    tables = {"mutations": ("maf.txt", table)}
    return add_measured(patients, TissueBurden(), tables, rule, "home", findings)


def mutations(**columns) -> pd.DataFrame:
    """Five mutations of patient a, two of b, as a MAF has them; columns may be replaced."""
    table = {
        "patient_id": ["a"] * 5 + ["b"] * 2,
        "chromosome": ["1", "1", "2", "3", "X", "1", "1"],
        "position": [100.0, 200.0, 300.0, 400.0, 500.0, 100.0, 900.0],
        "reference_allele": list("CCGATCG"),
        "alternate_allele": list("TAACGTA"),
        "consequence": [
            *("missense", "synonymous", "nonsense", "frameshift", "non_coding"),
            *("missense", "synonymous"),
        ],
        "vaf": [0.30, 0.25, 0.04, 0.10, 0.50, 0.20, 0.21],
        "depth": [500.0, 400.0, 600.0, 30.0, 700.0, 500.0, 500.0],
    }
    return pd.DataFrame({**table, **columns})


# rule, mutations per 2 Mb of a and b
RULES = [
    pytest.param({"consequences": CODING}, (3, 1), id="coding"),
    pytest.param({"consequences": [*CODING, "synonymous"]}, (4, 2), id="synonymous count too"),
    pytest.param({"consequences": CODING, "min_vaf": 0.05}, (2, 1), id="low VAF"),
    pytest.param({"consequences": CODING, "min_vaf": 0.04}, (3, 1), id="VAF at the limit counts"),
    pytest.param({"consequences": CODING, "min_depth": 50}, (2, 1), id="low depth"),
    pytest.param({"consequences": ["inframe_indel"]}, (0, 0), id="none, which is 0"),
]


@pytest.mark.parametrize(("rule", "counts"), RULES)
def test_eligible_mutations_are_counted_per_scored_megabase(rule, counts):
    burden = tissue_burden(mutations(), BurdenRule(scored_mb=2.0, **rule))
    assert burden["patient_id"].tolist() == ["a", "b"]
    assert burden["tmb"].tolist() == [n / 2 for n in counts]


def test_germline_variants_and_those_the_laboratory_leaves_out_do_not_count():
    table = mutations(
        somatic=[1, 1, 0, 1, 1, np.nan, 1.0], counted=[0.0, 1, 1, 1, np.nan, 1, 0]
    ).drop(columns="consequence")
    assert tissue_burden(table, BurdenRule(scored_mb=1))["tmb"].tolist() == [3, 1]


def test_a_mutation_with_a_row_for_each_transcript_counts_once_if_one_of_them_counts():
    twice = mutations()
    other = twice.iloc[[0, 1]].assign(consequence=["synonymous", "missense"])
    table = pd.concat([other, twice], ignore_index=True)
    rule = BurdenRule(scored_mb=1, consequences=["missense"])
    assert tissue_burden(table, rule)["tmb"].tolist() == [2, 1]
    assert mutation_findings(table, rule).messages() == [
        "mutations, rows 3 and 4: a variant in more than one row; it counts once."
    ]


def test_combinations_are_numbered_in_their_order_and_missing_values_are_a_level():
    table = pd.DataFrame({"a": ["x", None, "x", None, "y"], "b": [1.5, np.nan, 1.5, np.nan, 1.5]})
    code, firsts = grouped(table, ["a", "b"])
    assert code.tolist() == [0, 1, 0, 1, 2]
    assert firsts.tolist() == [0, 1, 4]
    days = pd.DataFrame({"day": [-1.0, -1.5, -1.0, 42.25, 42.5]})
    assert grouped(days, ["day"])[0].tolist() == [0, 1, 0, 2, 3]


def test_numbers_beyond_64_bits_are_still_told_apart():
    n = 2000
    rng = np.random.default_rng(1)
    wide = pd.DataFrame({f"c{i}": rng.integers(0, 1_000_000_000, n) for i in range(4)})
    both = pd.concat([wide, wide], ignore_index=True)
    code, firsts = grouped(both, list(wide))
    assert code.tolist() == [*range(n), *range(n)]
    assert firsts.tolist() == [*range(n)]
    far = pd.DataFrame({"a": [0, 1, 2, 3, 4, 0], "b": [4, 0, 0, 0, 0, 2**62]})
    assert grouped(far, ["a", "b"])[0].tolist() == [0, 1, 2, 3, 4, 5]


# ------------------------------------------------------------- beside what is reported


def test_patients_without_a_row_are_not_measured_and_sequenced_ones_have_none():
    patients = pd.DataFrame(
        {"patient_id": list("cbade"), "tmb_sequenced": [1.0, 1.0, np.nan, 0.0, np.nan]},
        index=[7, 8, 9, 10, 11],
    )
    told = Findings()
    rule = BurdenRule(scored_mb=0.5, consequences=CODING, tumour_only=True)
    table = add_measured(
        patients, TissueBurden(), {"mutations": ("maf.txt", mutations())}, rule, "home", told
    )
    assert table.index.tolist() == [7, 8, 9, 10, 11]
    assert table["tmb"].tolist()[:3] == [0.0, 2.0, 6.0]
    assert table["tmb_tumour_only"].tolist()[:3] == [1.0, 1.0, 1.0]
    assert table.loc[[10, 11], ["tmb", "tmb_tumour_only"]].isna().all(axis=None)
    assert "tmb" not in patients
    assert [row["message"] for row in told.rows] == [
        "maf.txt: 2 of 5 patients have no usable row; they are read as not measured."
    ]


def test_a_reported_burden_stays_and_is_compared():
    patients = pd.DataFrame({"patient_id": ["a", "b"], "tmb": [1.5, 4.0]})
    told = Findings()
    rule = BurdenRule(scored_mb=2, consequences=CODING)
    table = add_measured(
        patients, TissueBurden(), {"mutations": ("maf.txt", mutations())}, rule, "home", told
    )
    assert table["tmb"].tolist() == [1.5, 4.0]
    assert told.table().drop(columns="advice").to_dict("records") == [
        {
            "code": "reported_differs",
            "severity": "warning",
            "cohort": "home",
            "panel": "tmb",
            "column": "tmb",
            "n": 1,
            "message": "maf.txt: tmb as derived differs from what is reported in 1 of 2 patients; "
            "the reported one is used.",
        }
    ]


def test_with_faults_nothing_is_counted():
    patients = pd.DataFrame({"patient_id": ["a", "b"]})
    told = Findings()
    rule = BurdenRule(scored_mb=2, consequences=CODING)
    broken = mutations(vaf=[-0.1, *[0.2] * 6])
    assert (
        add_measured(
            patients, TissueBurden(), {"mutations": ("maf.txt", broken)}, rule, "home", told
        )
        is patients
    )
    assert [row["message"] for row in told.rows] == ["maf.txt, row 1: vaf outside 0 to 1 fraction."]


# ------------------------------------------------------------- findings

FAULTS = [
    pytest.param(
        {"patient_id": ["a", None, "b", "b", "b", "b", "b"]},
        ("missing_identifier", "mutations, row 2: no patient identifier."),
        id="no patient",
    ),
    pytest.param(
        {"vaf": [30.0, 25, 4, 10, 50, 20, 21]},
        (
            "looks_like_another_unit",
            "mutations, rows 1, 2, 3, 4, 5 and 2 more: vaf is read as a fraction but looks like "
            "percent (7 of 7 values exceed 1).",
        ),
        id="VAF in percent",
    ),
    pytest.param(
        {"vaf": [0.3, 0.2, -0.1, 0.1, 130, 0.2, 0.2]},
        ("outside_limits", "mutations, rows 3 and 5: vaf outside 0 to 1 fraction."),
        id="VAF negative and above 100 %",
    ),
    pytest.param(
        {"depth": ["500", "deep", "600", None, "1", "2", "3"]},
        ("not_numeric", "mutations, row 2: depth is not a number."),
        id="depth as text",
    ),
    pytest.param(
        {"consequence": ["Missense_Mutation", *["missense"] * 6]},
        (
            "unknown_category",
            "mutations, row 1: consequence not known; expected missense, nonsense, nonstop, "
            "frameshift, inframe_indel, splice_site, splice_region, start_codon, synonymous, "
            "non_coding.",
        ),
        id="consequence not translated",
    ),
    pytest.param(
        {"sample_id": ["s1", "s1", "s2", "s2", "s2", "s3", "s3"]},
        (
            "several_samples",
            "mutations, rows 1, 2, 3, 4 and 5: samples of patients who have several; one a "
            "patient is expected.",
        ),
        id="several samples",
    ),
    pytest.param(
        {"consequence": ["missense", None, *["missense"] * 5]},
        (
            "variant_not_classified",
            "mutations, row 2: no consequence; these do not count into the burden.",
        ),
        id="consequence missing",
    ),
]


@pytest.mark.parametrize(("columns", "expected"), FAULTS)
def test_each_fault_is_told_whole(columns, expected):
    found = mutation_findings(mutations(**columns), BurdenRule(scored_mb=1, consequences=CODING))
    assert [(each["code"], each["message"]) for each in found.rows] == [expected]


def test_a_clean_table_has_no_findings():
    assert mutation_findings(mutations(), BurdenRule(scored_mb=1, consequences=CODING)).rows == []


def test_fractions_stated_in_percent_are_suspected():
    n = 30
    table = pd.DataFrame({"patient_id": "a", "consequence": "missense", "vaf": [0.003] * n})
    rule = BurdenRule(scored_mb=1, consequences=CODING)
    assert mutation_findings(table, rule).messages() == [
        "mutations, rows 1, 2, 3, 4, 5 and 25 more: vaf may be fractions stated in percent: the "
        "median lies below 0.05."
    ]


def test_lines_of_the_file_are_named():
    table = mutations(vaf=[-0.1, *[0.2] * 6])
    table.index = pd.RangeIndex(2, 9, name="line")
    rule = BurdenRule(scored_mb=1, consequences=CODING)
    message = mutation_findings(table, rule, name="maf.txt").messages()[0]
    assert message == "maf.txt, line 2: vaf outside 0 to 1 fraction."


@pytest.mark.parametrize(
    ("rule", "absent"),
    [
        ({"consequences": CODING}, "consequence"),
        ({}, "counted (or state `consequences`)"),
        ({"consequences": CODING, "min_vaf": 0.1, "min_depth": 9}, "consequence and vaf and depth"),
    ],
)
def test_columns_that_the_rule_needs_are_asked_for(rule, absent):
    found = mutation_findings(pd.DataFrame({"patient_id": ["a"]}), BurdenRule(scored_mb=1, **rule))
    assert found.messages() == [f"mutations: no column {absent}; see the mutations dictionary."]


def test_another_kind_than_a_table_is_refused():
    with pytest.raises(TypeError) as wrong:
        mutation_findings([1, 2], BurdenRule(scored_mb=1))
    assert str(wrong.value) == "mutations is a list; expected a DataFrame."


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "required, but not stated"),
        ({"scored_mb": 0}, "Input should be greater than 0"),
        ({"scored_mb": 1_100_000}, "Input should be less than or equal to 100"),
        (
            {"scored_mb": 1, "consequences": ["Silent"]},
            "'Silent' is not known; classes are missense, nonsense, nonstop, frameshift, "
            "inframe_indel, splice_site, splice_region, start_codon, synonymous, non_coding",
        ),
        ({"scored_mb": 1, "mb": 2}, "unknown key"),
    ],
)
def test_a_rule_is_checked(settings, message):
    with pytest.raises(ValidationError) as wrong:
        BurdenRule.model_validate(settings)
    assert [error["msg"] for error in wrong.value.errors()] == [message]


# MAF classes of the GDC and terms of the Sequence Ontology
SPELLINGS = {
    "Missense_Mutation": "missense",
    "Frame_Shift_Del": "frameshift",
    "Frame_Shift_Ins": "frameshift",
    "In_Frame_Ins": "inframe_indel",
    "Splice_Site": "splice_site",
    "Translation_Start_Site": "start_codon",
    "Silent": "synonymous",
    "3'UTR": "non_coding",
    "missense_variant&splice_region_variant": "missense",
    "splice_region_variant&intron_variant": "splice_region",
    "5_prime_UTR_variant": "non_coding",
    "stop_gained": "nonsense",
    "stop_retained_variant": "synonymous",
}


@pytest.mark.parametrize("dictionary", ["mutations", "plasma_variants"])
def test_maf_classes_and_terms_of_the_sequence_ontology_are_known(dictionary):
    field = load_schema(dictionary).fields["consequence"]
    plain = {text.lower().replace("_", " "): level for text, level in SPELLINGS.items()}
    read = {text: field.spellings.get(text) or field.most_severe(text, {}) for text in plain}
    assert read == plain
    assert len({*field.spellings}) == len(field.spellings)


SIGNS = st.sampled_from([",", "&", ";", " & ", "|", "+"])


@settings(deadline=None, max_examples=200, derandomize=True, database=None)
@given(st.data())
def test_several_terms_in_any_order_are_the_most_severe_one(data):
    field = load_schema("mutations").fields["consequence"]
    terms = [*field.synonyms, *field.uninformative]
    chosen = data.draw(st.lists(st.sampled_from(terms), min_size=1, max_size=4))
    levels = [field.synonyms[term] for term in chosen if term in field.synonyms]
    expected = min(levels, key=field.severity.index) if levels else None
    text = chosen[0]
    for term in chosen[1:]:
        text += data.draw(SIGNS) + term
    cells = pd.DataFrame({"ID": ["a", "b"], "X": [text, "missense"]}, dtype=object)
    source = {"file": "t.maf", "patient_id": "ID", "burden": {"scored_mb": 1.0}}
    source |= {"panels": {"mutations": {"consequence": "X"}}}
    findings = Findings()
    frame = read_panels(cells, TableSource.model_validate(source), "ward", findings)["mutations"]
    found = frame["consequence"].tolist()[0]
    assert (found == expected) if expected is not None else pd.isna(found)


@pytest.mark.parametrize("text", ["missense_variant,Some_New_Term", "Some_New_Term", "missense/x"])
def test_a_term_that_is_not_known_is_never_passed_over(text):
    assert load_schema("mutations").fields["consequence"].most_severe(text, {}) is None


# ------------------------------------------------------------- transforms and scales


def test_log_and_cap():
    tmb = pd.Series([0.0, 1.0, 3.0, 50.0, 310.0, np.nan])
    assert log_tmb(tmb)[:3].tolist() == [0.0, 1.0, 2.0]
    assert capped_tmb(tmb).tolist()[:5] == [0.0, 1.0, 3.0, 50.0, 50.0]
    assert log_tmb(tmb).isna().tolist() == capped_tmb(tmb).isna().tolist() == [False] * 5 + [True]


def test_other_forms_of_a_burden_stand_beside_it_in_a_study(hospital):
    """Whether the burden is reported or counted, and tissue and blood apart."""
    hospital.plant("markers", "TMB", {2: "62.5"})
    reported = hospital.read().table
    assert reported["tmb_log2"].to_numpy() == pytest.approx(np.log2(reported["tmb"] + 1))
    assert (reported["tmb_capped"] == reported["tmb"].clip(upper=50)).all()
    assert reported["tmb"].max() > reported["tmb_capped"].max() == 50
    assert "btmb_log2" not in reported

    hospital.leave_out("pdl1", "tmb", "infiltration", "ctdna")
    hospital.add_measurements("mutations")
    hospital.add_measurements("plasma_variants")
    hospital.document["cohorts"][0]["plasma"] = {
        "btmb": {"scored_mb": 0.5, "consequences": ["missense"]}
    }
    counted = hospital.read().table
    assert set(counted["tmb"]) == {2.5}  # two mutations in 0.8 Mb
    assert set(counted["tmb_log2"]) == {np.log2(3.5)}
    assert set(counted["btmb_log2"]) == {np.log2(5)}


def test_other_forms_enter_a_model_only_where_the_study_names_them(hospital):
    hospital.plant("markers", "TPS", {2: "<1", 3: "1-49"})
    cohort = hospital.read()
    assert not {"tmb_log2", "tmb_capped", "pdl1_tps_low"} & set(informative_features(cohort, None))

    hospital.document["features"] = ["age", "tmb_log2", "tmb_capped", "pdl1_tps_high"]
    hospital.write()
    named = hospital.study().features
    assert informative_features(cohort, named) == named
    matrix = features_matrix(cohort.table, named)
    assert matrix["pdl1_tps_high"].tolist()[:2] == [1.0, 49.0]
    assert matrix.notna().all(axis=None)


def test_a_reported_form_that_contradicts_the_burden_is_told():
    told = Findings()
    patients = pd.DataFrame({"tmb": [7.0, 15.0], "tmb_log2": [3.0, 2.7]})
    assert with_derivations(patients, derivations(), DerivationRules(), "home", told)[
        "tmb_log2"
    ].tolist() == [3.0, 2.7]
    assert [row["message"] for row in told.rows] == [
        "burdens: tmb_log2 as derived differs from what is reported in 1 of 2 patients; the "
        "reported one is used."
    ]


def pairs(n: int = 60, seed: int = 4) -> tuple[pd.Series, pd.Series]:
    """Burdens of the same samples by a panel and by exome, with errors as of counts."""
    rng = np.random.default_rng(seed)
    panel = pd.Series(np.round(rng.lognormal(1.8, 0.9, n), 2))
    return panel, (0.6 + 0.85 * panel + rng.normal(0, 0.5, n) * np.sqrt(panel)).clip(lower=0)


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_the_line_is_that_of_statsmodels(power):
    panel, exome = pairs()
    fitted = TmbCalibration.fit(panel, exome, power=power)
    weights = panel**-power
    other = sm.WLS(exome, sm.add_constant(panel), weights=weights).fit()
    assert [fitted.intercept, fitted.slope] == pytest.approx(other.params.tolist(), rel=1e-10)
    assert fitted.sigma**2 == pytest.approx(other.scale, rel=1e-10)
    a, ab, b = fitted.covariance
    assert [[a, ab], [ab, b]] == [pytest.approx(row) for row in other.cov_params().to_numpy()]

    new = pd.Series([1.0, 8.0, 40.0])
    limits = other.get_prediction(sm.add_constant(new), weights=new**-power).summary_frame()
    table = fitted.apply(new)
    assert table["tmb_harmonised"].tolist() == pytest.approx(limits["mean"].tolist())
    assert table["lower"].tolist() == pytest.approx(limits["obs_ci_lower"].clip(lower=0).tolist())
    assert table["upper"].tolist() == pytest.approx(limits["obs_ci_upper"].tolist())


def test_burdens_beyond_the_paired_samples_are_told():
    panel, exome = pairs()
    told = Findings()
    patients = pd.DataFrame({"tmb": [5.0, 500.0, np.nan]})
    table = add_harmonised(patients, TmbCalibration.fit(panel, exome), "home", told)
    assert table["tmb_harmonised"].notna().tolist() == [True, True, False]
    assert [row["message"] for row in told.rows] == [
        "tmb of 1 patients lies outside the range of the 60 paired samples."
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda x, y: (x[:9], y[:9]),
            "9 paired samples; at least 10 are expected to learn a line.",
        ),
        (lambda x, y: (x, y[:-1]), "60 burdens and 59 of the reference; expected as many of each."),
        (
            lambda x, y: (np.log(x), y),
            "burdens are negative or all the same; expected mut/Mb of different samples, not their "
            "logarithms.",
        ),
        (
            lambda x, y: (x, 200 - y),
            "the reference does not grow with the burden; check that both columns are of the same "
            "samples.",
        ),
    ],
)
def test_pairs_from_which_no_line_is_learned(change, message):
    with pytest.raises(ArgumentError) as wrong:
        TmbCalibration.fit(*change(*pairs()))
    assert str(wrong.value) == message


def test_an_impossible_power_is_refused():
    with pytest.raises(ArgumentError) as wrong:
        TmbCalibration.fit(*pairs(), power=-1)
    assert str(wrong.value) == "power is -1; expected 0 to 4 (1 for counts)."


def two_assays() -> tuple[pd.Series, pd.Series]:
    tmb, _ = pairs(120)
    assay = pd.Series(["exome"] * 40 + ["panel"] * 60 + ["rare"] * 19 + [None])
    return tmb.mask(tmb.index == 3).where(assay != "panel", tmb * 3), assay


def test_scores_within_an_assay_are_those_of_scikit_learn():
    tmb, assay = two_assays()
    scores = WithinAssayScale.fit(tmb, assay).transform(tmb, assay)
    for name in ("exome", "panel"):
        own = tmb[assay == name]
        other = PowerTransformer(method="yeo-johnson").fit(own.dropna().to_frame())
        expected = other.transform(own.to_frame().fillna(0))[:, 0]
        known = own.notna().to_numpy()
        assert scores[own.index][known].to_numpy() == pytest.approx(expected[known], abs=1e-4)
        assert stats.zscore(scores[own.index][known]) == pytest.approx(scores[own.index][known])
    assert scores[assay.isin(["rare"]) | assay.isna()].isna().all()


def test_a_patient_is_scored_alone_as_among_others():
    tmb, assay = two_assays()
    scale = WithinAssayScale.fit(tmb, assay)
    together = scale.transform(tmb, assay)
    alone = [scale.transform(tmb[[i]], assay[[i]])[i] for i in tmb.index]
    assert alone == pytest.approx(together.tolist(), nan_ok=True, rel=1e-12)


def test_an_assay_without_training_patients_is_missing_with_a_finding():
    tmb, assay = two_assays()
    told = Findings()
    patients = pd.DataFrame({"tmb": tmb, "tmb_assay": assay})
    rules = DerivationRules(tmb_scale=WithinAssayScale.fit(tmb, assay))
    table = with_derivations(patients, derivations(), rules, "home", told)
    assert table["tmb_within_panel"].notna().sum() == 99
    assert [row["message"] for row in told.rows] == [
        "20 of 119 patients with tmb were measured with an assay of fewer than 20 training "
        "patients, or none; learned are: exome, panel."
    ]


def test_logarithms_are_not_scaled_within_an_assay():
    with pytest.raises(ArgumentError) as wrong:
        WithinAssayScale.fit(pd.Series([-1.0] * 30), pd.Series(["panel"] * 30))
    assert str(wrong.value) == "tmb is negative; expected mut/Mb, not its logarithm."
