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
from stratify.treatment.effect_tables import average_effects
from stratify.treatment.estimation import scored_outcomes
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


# ------------------------------------------------------------------- strata and censoring


def trials(*, seed: int = 0, share: tuple[float, float] = (0.5, 0.8)) -> pd.DataFrame:
    """Two trials without effect, of other allocation and prognosis."""
    rng = np.random.default_rng(seed)
    tables = []
    for name, mean, given in zip(("one", "two"), (14, 4), share, strict=True):
        table = patients(300, seed=seed).assign(cohort=name, site=rng.choice(["x", "y"], 300))
        table["arm"] = np.where(rng.permutation(300) < 300 * given, "A + B", "A")
        pfs = rng.exponential(mean, 300)
        tables.append(table.assign(pfs=np.minimum(pfs, 20), pfs_event=pfs < 20))
    return pd.concat(tables, ignore_index=True)


def estimate_of(table: pd.DataFrame, effect: dict[str, object], estimator: str) -> Estimate:
    found = arms(table, effect).with_outcomes()
    scored = scored_outcomes(found, check_design(found).propensity, 0).values()
    rows = average_effects(scored, randomised=True, horizon=12)
    row = rows[rows["estimator"] == estimator].iloc[0]
    return Estimate(row["value"], row["low"], row["high"])


QUICK = TWO | {"permutations": 0}


@pytest.mark.parametrize("estimator", ["doubly_robust", "unadjusted"])
def test_two_trials_of_other_allocation_without_effect_show_none(estimator):
    found = [estimate_of(trials(seed=k), QUICK, estimator) for k in range(4)]
    assert sum(each.low <= 0 <= each.high for each in found) >= 3
    assert abs(np.mean([each.value for each in found])) < 0.5
    one = [estimate_of(trials(seed=k).assign(cohort="both"), QUICK, estimator) for k in range(4)]
    assert all(each.high < 0 for each in one)  # taken as one trial it seems to do harm


def test_their_hazard_ratio_is_stratified():
    found = estimate_of(trials(), QUICK, "hazard_ratio")
    assert found.low < 1 < found.high
    assert estimate_of(trials().assign(cohort="both"), QUICK, "hazard_ratio").low > 1


def test_each_stratum_has_its_effect_and_the_average_is_theirs_by_weight():
    tables = analyse(arms(trials(), QUICK | {"strata": ["site"]}), learners=()).tables
    found = tables["by_stratum"]
    assert found["stratum"].tolist() == ["one, x", "one, y", "two, x", "two, y"]
    assert found[["n_reference", "n_alternative"]].to_numpy().sum() == 600
    average = tables["effects"]["value"].iloc[0]
    assert found["weight"] @ found["value"] == pytest.approx(average)


def test_the_propensity_is_that_of_the_stratum():
    design = check_design(arms(trials()))
    assert sorted(set(design.propensity.round(9))) == [0.5, 0.8]
    names = [f"arm predicted by the baseline (p), {k}" for k in ("one", "two", "all strata")]
    assert design.checks["check"].tolist()[-3:] == names


def test_allocation_by_a_marker_in_one_trial_is_found():
    table = trials()
    two = (table["cohort"] == "two").to_numpy()
    older = two & (table["age"] > table["age"].median()).to_numpy()
    table["arm"] = np.where(two, np.where(older, "A + B", "A"), table["arm"])
    (first, *_) = refused(table, TWO)
    assert first.startswith("the arms are said to be randomised, yet the baseline tells them apart")
    assert first.endswith(", two); state `assignment: observed` or correct the arms")


def test_a_stratum_of_one_arm_is_refused_with_numbers():
    table = trials()
    table.loc[table["cohort"] == "two", "arm"] = "A + B"
    assert refused(table, TWO) == [
        "arms are compared within strata, and two has 0 with monotherapy and 300 with combination; "
        "2 of each are needed: leave such a cohort out, or state coarser `strata`"
    ]


def test_a_column_of_strata_that_is_not_recorded_is_told():
    with pytest.raises(CohortError) as refusal:
        arms(patients(), TWO | {"strata": ["site"]})
    assert str(refusal.value) == (
        "strata: site is not recorded; map it, or leave it out of `strata`."
    )


def test_the_column_of_arms_is_no_stratum():
    with pytest.raises(ValidationError) as refusal:
        study(TWO | {"strata": ["arm"]})
    assert [fault.text for fault in located(faults_of(refusal.value), None)] == [
        "arm is the column of the arms"
    ]


def dropping_out(n: int = 600, seed: int = 0) -> pd.DataFrame:
    """A trial without effect; who is old is lost early with A, who is young with A + B."""
    rng = np.random.default_rng(seed)
    table = patients(n, seed=seed)
    old = (table["age"].to_numpy() - 60) / 10
    died = rng.exponential(9 * np.exp(0.6 * old))
    sign = np.where(table["arm"] == "A", -1, 1)
    lost = np.minimum(rng.exponential(20 * np.exp(0.7 * sign * old)), 30)
    return table.assign(pfs=np.minimum(died, lost), pfs_event=died <= lost)


def test_dropout_by_a_recorded_covariate_that_differs_by_arm_gives_no_effect():
    found = [estimate_of(dropping_out(seed=k), QUICK, "doubly_robust") for k in range(8)]
    plain = [estimate_of(dropping_out(seed=k), QUICK, "unadjusted") for k in range(8)]
    assert abs(np.mean([each.value for each in found])) < 0.2
    assert np.mean([each.value for each in plain]) > 0.3
    assert sum(each.low <= 0 <= each.high for each in found) >= 7


def test_the_weighted_hazard_ratio_is_near_one_where_the_plain_one_is_not():
    weighted = [estimate_of(dropping_out(2000, seed=k), QUICK, "hazard_ratio_weighted").value
                for k in range(2)]  # fmt: skip
    plain = [estimate_of(dropping_out(2000, seed=k), QUICK, "hazard_ratio").value for k in range(2)]
    assert abs(np.log(np.mean(weighted))) < abs(np.log(np.mean(plain))) / 2


def test_who_was_censored_is_tabulated_and_told():
    found = analyse(arms(dropping_out(), QUICK), learners=())
    table = found.tables["censoring"].set_index("arm")
    pfs, event = dropping_out()["pfs"], dropping_out()["pfs_event"]
    one = (dropping_out()["arm"] == "A").to_numpy()
    assert table.loc["monotherapy", "censored"] == (one & ~event & (pfs < 12)).sum()
    assert table.loc["monotherapy", "at_risk"] == (one & (pfs >= 12)).sum()
    assert (table["effective_n"] < table["n"]).all()
    by = found.tables["censoring_by_covariate"].set_index(["arm", "covariate"])["value"]
    assert by["monotherapy", "age"] > 1.3
    assert by["combination", "age"] < 0.8
    assert any(
        said.startswith("Censored before 12 months: monotherapy ") for said in found.statements
    )


@pytest.mark.parametrize(("at_risk", "allowed"), [(9, False), (10, True)])
def test_too_few_at_risk_at_the_horizon_is_refused_with_numbers(at_risk, allowed):
    table = patients(200)
    table["pfs_event"] = np.arange(200) % 3 > 0
    table["pfs"] = table["pfs"].clip(upper=11)
    one = table.index[table["arm"] == "A"]
    table.loc[one[:at_risk], "pfs"] = 13.0
    table.loc[table.index[table["arm"] == "A + B"][:50], "pfs"] = 13.0
    design = check_design(arms(table))
    assert design.allowed == allowed
    if not allowed:
        assert design.refusals == [
            "of 100 patients with monotherapy 9 are at risk at 12 months (pfs); 10 are needed: "
            "choose a nearer `horizon_months`"
        ]


def test_where_nobody_is_censored_nobody_need_be_at_risk():
    table = patients(200).assign(pfs_event=True)
    table["pfs"] = table["pfs"].clip(upper=11)
    assert check_design(arms(table)).allowed


def test_hazards_that_are_not_proportional_are_told():
    table = patients(600)
    rng = np.random.default_rng(0)
    late = rng.exponential(2, 600) + 5  # nothing happens for five months, then much
    table["pfs"] = np.where(table["arm"] == "A", rng.exponential(7, 600), late)
    found = analyse(arms(table.assign(pfs_event=True), QUICK), learners=())
    told = [said for said in found.statements if said.startswith("Hazards are not proportional")]
    assert len(told) == 1


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


def test_pfs_that_ends_at_the_next_therapy_makes_the_estimand_hypothetical():
    table = patients().assign(next_therapy=np.nan)
    table.loc[:9, ["pfs", "pfs_event", "next_therapy"]] = [4.0, False, 4.0]
    visits = table.loc[:4, ["cohort", "patient_id"]]
    read = Cohort(
        table, pd.DataFrame(), Findings(), {}, {}, None, mixed_regimens=True, responses=visits
    )
    found = read_arms(read, Estimand.model_validate(TWO))
    assert found.censored_at_next_therapy == 5
    assert arms(table).censored_at_next_therapy == 0  # as recorded, not made by us


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
    rng, found, trials, n = np.random.default_rng(1), 0, 40, 200
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
