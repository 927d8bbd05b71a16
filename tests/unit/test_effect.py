"""Arms of a cohort: what is refused and why, and what an analysis says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from stratify import Study
from stratify.cohort.reading import Cohort
from stratify.errors import ArgumentError, CohortError, DataError
from stratify.statistics.intervals import Estimate
from stratify.study.estimand import Estimand
from stratify.tables.faults import faults_in_words, faults_of, located
from stratify.tables.findings import Findings
from stratify.treatment.arms import Arms, read_arms
from stratify.treatment.controls import chance_findings, e_value
from stratify.treatment.design_check import check_design
from stratify.treatment.doubly_robust import Scores, value_table
from stratify.treatment.effect import analyse
from stratify.treatment.heterogeneity import interaction, ratio_of_hazard_ratios
from stratify.treatment.learners import learn_in_turn, policy_tree

TWO = {
    "assignment": "randomised",
    "alternative": {"name": "combination", "arms": ["A + B"]},
    "reference": {"name": "monotherapy", "arms": ["A"]},
}
OBSERVED = TWO | {"assignment": "observed", "confounders": ["age", "ecog"]}


def patients(n: int = 400, *, seed: int = 0, benefit: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    arm = np.where(np.arange(n) % 2 == 0, "A", "A + B")
    pfs = rng.exponential(8 + benefit * (arm == "A + B"), n).round(2)
    return pd.DataFrame(
        {
            "patient_id": [f"p{i}" for i in range(n)],
            "cohort": "trial",
            "arm": arm,
            "regimen": np.where(arm == "A", "anti_pd1_pdl1", "ici_ici"),
            "age": rng.normal(60, 10, n),
            "ecog": rng.integers(0, 3, n),
            "pfs": np.minimum(pfs, 20),
            "pfs_event": pfs < 20,
        }
    )


def cohort(table: pd.DataFrame) -> Cohort:
    empty = pd.DataFrame()
    return Cohort(table, empty, Findings(), {}, {}, None, mixed_regimens=True)


def arms(table: pd.DataFrame, effect: dict[str, object] = TWO) -> Arms:
    return read_arms(cohort(table), Estimand.model_validate(effect))


def refused(table: pd.DataFrame, effect: dict[str, object] = OBSERVED) -> list[str]:
    design = check_design(arms(table, effect))
    assert not design.allowed
    assert design.statement == "No effect is estimated: " + "; ".join(design.refusals) + "."
    return design.refusals


def study(effect: dict[str, object] | None) -> Study:
    table = {"file": "a.csv", "patient_id": "ID", "panels": {"clinical": {"arm": "ARM"}}}
    document = {"stratify": 1, "name": "trial", "cohorts": [{"name": "a", "tables": [table]}]}
    return Study.model_validate(document | ({} if effect is None else {"effect": effect}))


# ------------------------------------------------------------------- the section and the arms


def test_a_study_without_the_section_is_told_what_to_write():
    with pytest.raises(DataError) as refusal:
        study(None).require_effect()
    assert str(refusal.value) == (
        "trial: the study has no `effect` section; say which arms are compared, for example "
        "`effect: {assignment: randomised, alternative: {name: combination, arms: [A + B]}, "
        "reference: {name: monotherapy, arms: [A]}}`."
    )


def test_all_faults_of_the_section_are_told_at_once():
    effect = TWO | {
        "assignment": "maybe",
        "reference": {"name": "monotherapy", "arms": ["A + B"]},
        "covariates": ["pfs", "tmbx"],
        "tree_depth": 4,
        "horizon": 6,
    }
    with pytest.raises(ValidationError) as refusal:
        study(effect)
    faults = located(faults_of(refusal.value), None)
    assert faults_in_words(faults, "study file") == (
        "6 faults in the study file:\n"
        "  effect.assignment: Input should be 'randomised' or 'observed'\n"
        "  effect.covariates.0: pfs is no biomarker\n"
        "  effect.covariates.1: No panel has a column named 'tmbx'; near names are tmb, btmb\n"
        "  effect.tree_depth: Input should be less than or equal to 3\n"
        "  effect.horizon: unknown key; near keys are horizon_months\n"
        "  effect.reference.arms: 'A + B' stands in alternative too"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.assign(arm="A"),
            "The arms cannot be compared. alternative: 'A + B' stands nowhere in arm, which holds "
            "'A' (400 rows). One arm only: an effect is never estimated from one arm. Write "
            "`arms` as the column arm does, or map it.",
        ),
        (
            lambda t: t.assign(arm=t["arm"].map({"A": "Drug A alone", "A + B": "Drugs A and B"})),
            "The arms cannot be compared. reference: 'A' stands nowhere in arm, which holds 'Drug "
            "A alone' (200 rows) and 'Drugs A and B' (200 rows); alternative: 'A + B' stands "
            "nowhere in arm, which holds 'Drug A alone' (200 rows) and 'Drugs A and B' (200 rows). "
            "Write `arms` as the column arm does, or map it.",
        ),
        (
            lambda t: t.assign(arm=[f"patient {k}" for k in range(len(t))]),
            "The arms cannot be compared. reference: 'A' stands nowhere in arm, which holds 400 "
            "rare levels; alternative: 'A + B' stands nowhere in arm, which holds 400 rare levels. "
            "Write `arms` as the column arm does, or map it.",
        ),
        (
            lambda t: t.drop(columns=["arm"]),
            "The column arm names no arms; map it in the clinical panel, for example `arm: "
            "TRT01P`.",
        ),
        (
            lambda t: t.drop(columns=["pfs_event"]),
            "The arms cannot be compared. outcomes: pfs needs pfs_event, which is not recorded.",
        ),
        (
            lambda t: t.assign(pfs=t["pfs"].where(t["arm"] == "A")),
            "One arm only: combination has no patient. An effect is never estimated from one arm.",
        ),
    ],
    ids=[
        "one arm",
        "arms in words",
        "no column of arms",
        "no column",
        "no event",
        "one arm with outcome",
    ],
)
def test_arms_that_are_not_there_are_told(change, message):
    with pytest.raises(CohortError) as refusal:
        arms(change(patients()))
    assert str(refusal.value) == message
    assert refusal.value.exit_code == 11


# ------------------------------------------------------------------- the design check


def test_a_randomised_trial_passes():
    design = check_design(arms(patients()))
    assert design.allowed
    assert design.statement == "The design check is passed."
    assert set(design.propensity) == {0.5}


def test_an_arm_of_five_patients_is_refused():
    table = patients(205)
    kept = (table["arm"] == "A") | (table.groupby("arm").cumcount() < 5)
    assert refused(table[kept].reset_index(drop=True), TWO) == [
        "the arm combination has 5 patients; 30 are needed"
    ]


def test_arms_that_the_baseline_tells_are_not_taken_as_randomised():
    table = patients()
    table["age"] += 12 * (table["arm"] == "A")
    (reason,) = refused(table, TWO)
    assert reason.startswith(
        "the arms are said to be randomised, yet the baseline tells them apart (p = "
    )
    assert reason.endswith("); state `assignment: observed` or correct the arms")


def test_missing_propensity_variables_are_told():
    assert refused(patients().drop(columns=["ecog"])) == [
        "ecog is not recorded or the same for all, and nobody was randomised; record what decided "
        "the treatment, or state other `confounders` with your reasons"
    ]


def test_no_overlap_is_told_with_numbers():
    table = patients()
    table["age"] += np.where(table["arm"] == "A", 45, 0)
    reasons = refused(table)
    assert any(
        reason.startswith("no overlap: of 200 patients with monotherapy only ")
        and "had a probability of the other treatment between 0.1 and 0.9" in reason
        for reason in reasons
    )


def test_a_marker_that_decides_the_arm_is_named():
    table = patients()
    table["age"] = np.where(table["arm"] == "A", 70.0, 50.0)
    assert refused(table)[0] == (
        "the arm follows from age alone, so no patient could have had either treatment"
    )


def test_observed_arms_with_overlap_pass_and_are_balanced_by_weighting():
    table = patients(800, seed=3)
    rng = np.random.default_rng(1)
    older = rng.random(800) < 1 / (1 + np.exp(-(table["age"] - 60) / 12))
    table["arm"] = np.where(older, "A + B", "A")
    design = check_design(arms(table, OBSERVED))
    assert design.allowed, design.refusals
    age = design.balance.set_index("covariate").loc["age"]
    assert age["standardised_difference"] > 0.5
    assert abs(age["weighted"]) < 0.1


# ------------------------------------------------------------------- what is said


def test_a_refused_design_gives_no_figure_of_effect():
    found = analyse(arms(patients().drop(columns=["ecog"]), OBSERVED))
    assert set(found.tables) == {"sizes", "checks", "balance"}
    assert found.statements == [found.design.statement]
    assert found.heterogeneity_shown is None


@pytest.fixture(scope="module")
def harmless() -> object:
    """A trial of 400 with the same effect for all, a score of no worth, and events."""
    table = patients(400, seed=5, benefit=6.0)
    rng = np.random.default_rng(2)
    combined = (table["arm"] == "A + B").to_numpy()
    table["grade3_treatment_related"] = rng.random(400) < np.where(combined, 0.5, 0.2)
    twice = TWO | {"permutations": 2}
    return analyse(arms(table, twice), score=rng.normal(size=400), learners=())


def test_without_heterogeneity_the_average_effect_speaks(harmless):
    assert harmless.heterogeneity_shown is False
    assert harmless.score_selects is False
    said = harmless.statements
    assert said[0].startswith("No evidence that this score selects the better arm (risk; effect ")
    assert said[2].startswith("No heterogeneity of the effect is shown (p = ")
    assert said[3].startswith(
        "Average effect of combination against monotherapy on progression-free survival within 12 "
        "months: "
    )
    assert said[4] == (
        "By the average effect combination is better for patients of this kind; harm, label and "
        "the patient's wishes count too, and no score chooses."
    )
    assert said[5] == (
        "With the treatment permuted 2 times heterogeneity was found 0 times and a better rule 0 "
        "times; chance alone gives about 0.1."
    )
    assert len(said) == 6


def test_the_areas_are_those_of_the_curves_that_are_drawn(harmless):
    curves = harmless.tables["targeting"].groupby("ranked_by")[["value", "gain"]].mean()
    for row in harmless.tables["heterogeneity"].to_dict("records"):
        assert row["autoc"] == pytest.approx(curves.loc[row["learner"], "value"])
        assert row["qini"] == pytest.approx(curves.loc[row["learner"], "gain"])


@pytest.mark.parametrize(
    "shape",
    [
        "lognormal",
        pytest.param("normal", marks=pytest.mark.slow),
        pytest.param("risk", marks=pytest.mark.slow),
    ],
)
def test_the_test_of_an_interaction_keeps_its_level_with_skewed_scores(shape):
    """One hazard ratio for all, a prognostic score: 5 % of the trials, chance error included."""
    rng, found, trials, n = np.random.default_rng(1), 0, 60, 200
    for _ in range(trials):
        normal = rng.normal(size=n)
        score = {
            "normal": normal,
            "lognormal": np.exp(1.2 * normal),
            "risk": 1 / (1 + np.exp(-1.5 * normal)),
        }[shape]
        treated = rng.random(n) < 0.5
        time = rng.exponential(np.exp(0.4 * treated - 0.6 * normal))
        censored = rng.exponential(2, n)
        event = (time <= censored).astype(float)
        _, p = ratio_of_hazard_ratios(np.minimum(time, censored), event, treated, score)
        found += p < 0.05
    assert found / trials <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / trials)


def test_harm_stands_beside_benefit(harmless):
    harms = harmless.tables["harms"].set_index("arm")
    assert list(harms.index) == ["monotherapy", "combination", "difference"]
    gap = harms.loc["combination", "value"] - harms.loc["monotherapy", "value"]
    assert harms.loc["difference", "value"] == pytest.approx(gap)
    balance = harmless.tables["trade_off"]
    flip, benefit = balance["flip"].iloc[0], harmless.tables["effects"]["value"].iloc[0]
    assert flip == pytest.approx(benefit / gap)


def test_the_rules_of_all_are_the_arms_means(harmless):
    values = harmless.tables["values"]
    whole = values[(values["patients"] == "all") & (values["against"] == "")].set_index("rule")
    assert whole.loc["combination for all", "share_treated"] == 1
    assert whole.loc["monotherapy for all", "share_treated"] == 0
    effect = harmless.tables["effects"].iloc[0]["value"]
    gap = whole.loc["combination for all", "value"] - whole.loc["monotherapy for all", "value"]
    assert gap == pytest.approx(effect)


def test_with_the_treatment_permuted_the_effect_is_gone(harmless):
    control = harmless.tables["control"]
    assert control["permutation"].tolist() == [1, 2]
    assert (control["gain"].abs() < harmless.tables["effects"]["value"].iloc[0] / 2).all()
    assert (control["gain_low"] < 0).all()


@pytest.mark.parametrize(
    ("found", "better", "rare"),
    [(0, 0, False), (3, 0, False), (4, 0, False), (5, 0, True), (1, 5, True), (20, 20, True)],
)
def test_more_findings_than_chance_gives_are_told(found, better, rare):
    control = pd.DataFrame(
        {"p": [0.01] * found + [0.6] * (20 - found), "better": np.arange(20) < better}
    )
    assert chance_findings(control) == (found, better, rare)


@pytest.mark.parametrize(
    ("ratio", "low", "value", "limit"),
    [
        (3.9, 1.8, 7.26, 3.0),  # smoking-like example of VanderWeele and Ding 2017
        (0.80, 0.71, 1.81, 1.0),
        (2.0, 0.9, 3.41, 1.0),
    ],
)
def test_the_e_value_is_that_of_its_authors(ratio, low, value, limit):
    reference = 0.2
    ends = [reference * (r - 1) for r in (ratio, low, 2 * ratio if ratio > 1 else 1.2)]
    found = e_value(Estimate(*ends), reference=reference)
    assert found == pytest.approx((value, limit), abs=0.01)


@pytest.mark.slow
def test_an_observed_comparison_tells_what_nobody_recorded_would_have_to_be():
    table = patients(600, seed=1, benefit=8.0).assign(prior_systemic_therapy=False)
    table["prior_systemic_therapy"] = np.arange(600) % 3 == 0
    found = analyse(arms(table, OBSERVED | {"permutations": 0}), learners=())
    row = found.tables["unrecorded"].iloc[0]
    assert row["outcome"] == "pfs"
    assert 1 < row["e_value_limit"] < row["e_value"] < 4
    said = found.statements[-1]
    assert said.startswith("Patients were not randomised: what is not recorded may explain")
    assert f"a risk ratio of about {row['e_value']:.1f} with both treatment and outcome" in said
    assert "control" not in found.tables


# ------------------------------------------------------------------- parts


def test_the_value_of_a_rule_is_a_mean_of_scores_with_its_interval():
    rng = np.random.default_rng(0)
    scores = Scores(rng.normal(size=200), rng.normal(size=200) + 1)
    table = value_table(scores, {"all": np.ones(200), "half": np.full(200, 0.5)})
    row = table.iloc[0]
    assert row["value"] == pytest.approx(scores.alternative.mean())
    half = 1.959964 * scores.alternative.std(ddof=1) / np.sqrt(200)
    assert row["high"] - row["value"] == pytest.approx(half, rel=1e-6)
    assert table.iloc[1]["value"] == pytest.approx(
        (scores.reference + scores.alternative).mean() / 2
    )


def test_a_score_that_is_the_same_for_all_is_refused():
    with pytest.raises(ArgumentError) as refusal:
        interaction(np.arange(5.0), np.ones(5))
    assert str(refusal.value) == (
        "The score is the same for all; a score that differs is expected."
    )


def test_a_tree_deeper_than_a_slide_is_refused():
    with pytest.raises(ArgumentError) as refusal:
        policy_tree(np.zeros((9, 1)), np.zeros(9), np.zeros(9), ["x"], depth=4)
    assert str(refusal.value) == "depth is 4; 1, 2 or 3 is expected: a rule for a slide."


def test_where_nothing_is_gained_the_tree_asks_no_question():
    X = np.random.default_rng(0).normal(size=(200, 2))
    rule = policy_tree(X, np.zeros(200), np.ones(200), ["tmb", "age"])
    assert rule.text == "everybody: alternative"


def test_a_learner_that_nobody_knows_is_refused_with_those_there_are():
    one = np.ones(40)
    with pytest.raises(ArgumentError) as refusal:
        learn_in_turn(lambda _: ..., one > 0, one, one / 2, np.arange(40) % 10, learners=["magic"])
    assert str(refusal.value) == (
        "learner 'magic' is not known; there are dr_learner, t_learner, x_learner, causal_forest."
    )
