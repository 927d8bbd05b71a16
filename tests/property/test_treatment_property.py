"""Laws of policies, rules and effects, whatever the numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from stratify.statistics.intervals import Estimate
from stratify.study.policy import Policy
from stratify.treatment.doubly_robust import Scores, value_table
from stratify.treatment.harm import net_benefit_of_arm
from stratify.treatment.heterogeneity import targeting, targeting_curve
from stratify.treatment.restricted_mean import unbiased_times
from stratify.treatment.triage import triage

laws = settings(deadline=None, max_examples=20, derandomize=True, database=None)
ORDER = {"monotherapy": 0, "refer": 1, "combination": 2}
HARM = {"kind": "treatment_related", "source": "drawn"}


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Policies of every kind that decides by a risk."""
    document: dict[str, object] = {"name": "any", "version": "1", "source": "drawn"}
    if draw(st.booleans()):
        low, high = sorted(draw(st.tuples(*[st.floats(0.01, 0.99)] * 2)))
        document |= {"monotherapy_below": low, "combination_from": high}
    else:
        ratio = sorted(draw(st.tuples(*[st.floats(0.2, 1.3)] * 3)))
        harm = {"monotherapy": draw(st.floats(0, 1)), "combination": draw(st.floats(0, 1))}
        document["utilities"] = {
            "relative_risk": dict(zip(("low", "value", "high"), ratio, strict=True))
            | {"source": "drawn"},
            "harms": [HARM | harm],
            "weights": [0.05, 0.5],
            "delay_loss": draw(st.floats(0, 0.2)),
        }
    document["in_doubt"] = draw(st.sampled_from(["refer", "monotherapy", "combination"]))
    if draw(st.booleans()):
        against = draw(st.sampled_from(["monotherapy", "combination", "any"]))
        document["contraindications"] = [
            {"marker": "ecog", "at_least": 2, "against": against, "source": "drawn"}
        ]
    if draw(st.booleans()):
        document["label"] = {"jurisdiction": draw(st.sampled_from(["us", "eu"])),
                             "on": "2026-11-23"}  # fmt: skip
    return Policy.load(document)


@st.composite
def risks(draw: st.DrawFn) -> pd.DataFrame:
    """Rising risks with intervals of the same width on the log-odds scale."""
    margins = np.sort(draw(st.lists(st.floats(-8, 8), min_size=1, max_size=6)))
    below, above = draw(st.floats(0, 4)), draw(st.floats(0, 4))
    return pd.DataFrame(
        {"risk": expit(margins), "risk_low": expit(margins - below),
         "risk_high": expit(margins + above)}
    )  # fmt: skip


@st.composite
def one_patient(draw: st.DrawFn) -> dict[str, object]:
    return {
        "ecog": draw(st.sampled_from([0.0, 1.0, 2.0, 3.0, np.nan])),
        "cancer_type": draw(st.sampled_from(["nsclc", "melanoma", "renal", None])),
        "prior_systemic_therapy": draw(st.sampled_from([True, False, None])),
        "pdl1_tps": draw(st.sampled_from([0.0, 30.0, 80.0, np.nan])),
        "pdl1_cps": draw(st.sampled_from([0.0, 20.0, np.nan])),
    }


@laws
@given(policies(), risks(), one_patient())
def test_a_higher_risk_never_moves_combination_to_monotherapy(policy, table, patient):
    known = pd.DataFrame([patient] * len(table), index=table.index)
    answers = triage(table, known, policy)["recommendation"].tolist()
    first = next((i for i, a in enumerate(answers) if a == "combination"), len(answers))
    assert "monotherapy" not in answers[first:]


@laws
@given(policies(), risks(), one_patient())
def test_a_contraindication_always_wins(policy, table, patient):
    known = pd.DataFrame([patient] * len(table), index=table.index)
    answers = set(triage(table, known, policy)["recommendation"])
    for each in policy.contraindications:
        if patient["ecog"] >= 2:
            ruled_out = {"any": {"monotherapy", "combination"}}.get(each.against, {each.against})
            assert not answers & ruled_out


@laws
@given(policies(), risks(), one_patient())
def test_a_label_and_a_contraindication_only_ever_refer(policy, table, patient):
    known = pd.DataFrame([patient] * len(table), index=table.index)
    free = policy.model_copy(update={"label": None, "contraindications": []})
    with_all = triage(table, known, policy)["recommendation"]
    without = triage(table, known, free)["recommendation"]
    assert ((with_all == without) | (with_all == "refer")).all()


@laws
@given(policies(), risks(), one_patient())
def test_every_answer_has_a_reason_and_what_would_change_it(policy, table, patient):
    known = pd.DataFrame([patient] * len(table), index=table.index)
    found = triage(table, known, policy)
    assert found["reason"].str.fullmatch(r"[A-Zc].*\.").all()
    assert found["would_change"].str.fullmatch(r"[A-Z].*\.").all()


@laws
@given(st.floats(0, 99), st.lists(st.none() | st.floats(0, 100), min_size=1, max_size=8))
def test_a_marker_rule_gives_no_more_treatment_to_a_higher_marker(limit, values):
    rule = {"marker": "cd8_percent", "monotherapy_from": limit + 1, "combination_below": limit}
    policy = Policy.load({"name": "a", "version": "1", "source": "drawn", "marker_rule": rule})
    column = pd.Series(values, dtype=float).sort_values().reset_index(drop=True)
    found = triage(None, pd.DataFrame({"cd8_percent": column}), policy)["recommendation"]
    ranks = found[column.notna()].map(ORDER).to_numpy()
    assert (np.diff(ranks) <= 0).all()
    assert (found[column.isna()] == "refer").all()


@laws
@given(risks(), st.sampled_from(["anti_pd1_pdl1", "ici_chemotherapy"]))
def test_at_a_landmark_a_higher_risk_never_asks_for_less(table, on):
    limits = {"continue_below": 0.3, "intensify_from": 0.4, "change_from": 0.8}
    policy = Policy.load({"name": "a", "version": "1", "source": "drawn",
                          "monotherapy_below": 0.4, "combination_from": 0.7,
                          "landmark": {"weeks": 9, "source": "drawn", **limits}})  # fmt: skip
    markers = pd.DataFrame({"regimen": [on] * len(table)}, index=table.index)
    found = triage(table, markers, policy, landmark_weeks=9)["recommendation"]
    firm = found[found != "refer"].map({"continue": 0, "intensify": 1, "change": 2})
    assert (np.diff(firm.to_numpy()) >= 0).all()
    if on == "ici_chemotherapy":
        assert "intensify" not in set(found)


# ------------------------------------------------------------------- effects


@st.composite
def scores(draw: st.DrawFn) -> Scores:
    n = draw(st.integers(4, 40))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    return Scores(rng.normal(size=n), rng.normal(size=n))


@laws
@given(scores(), st.integers(0, 10_000))
def test_swapping_the_arms_turns_the_sign_of_the_effect(both, seed):
    turned = Scores(both.alternative, both.reference)
    assert np.isclose(both.average_effect().value, -turned.average_effect().value)
    assert np.isclose(both.average_effect().low, -turned.average_effect().high)


@laws
@given(scores(), st.floats(0, 1))
def test_the_value_of_a_lottery_lies_between_the_arms(both, share):
    n = len(both.reference)
    rules = {"all": np.ones(n), "none": np.zeros(n), "lot": np.full(n, share)}
    value = value_table(both, rules).query("against == ''").set_index("rule")["value"]
    assert np.isclose(value["lot"], share * value["all"] + (1 - share) * value["none"])


@laws
@given(scores(), st.randoms(use_true_random=False))
def test_the_order_of_patients_does_not_matter_to_targeting(both, random):
    n = len(both.effect)
    priority = np.round(both.reference, 0)  # ties
    rows = random.sample(range(n), n)
    whole, moved = (
        targeting(both.effect[i], priority[i])["autoc"].value for i in (np.arange(n), rows)
    )
    assert np.isclose(whole, moved)
    curves = [targeting_curve(both.effect[i], priority[i]) for i in (np.arange(n), rows)]
    pd.testing.assert_frame_equal(*curves)


@laws
@given(scores())
def test_treating_everybody_first_gains_nothing(both):
    curve = targeting_curve(both.effect, both.reference)
    assert np.isclose(curve["value"].iloc[-1], 0)
    found = targeting(both.effect, both.reference)
    assert np.isclose(found["autoc"].value, curve["value"].mean(), atol=1e-9)
    assert np.isclose(found["qini"].value, curve["gain"].mean(), atol=1e-9)
    flat = targeting(both.effect, np.zeros(len(both.effect)))
    assert np.isclose(flat["autoc"].value, 0, atol=1e-9)
    assert np.isclose(flat["qini"].value, 0, atol=1e-9)


@laws
@given(st.integers(0, 10_000), st.integers(10, 60))
def test_a_restricted_mean_lies_within_its_horizon_and_ignores_order(seed, n):
    rng = np.random.default_rng(seed)
    time = np.round(rng.exponential(8, n), 1)
    event = (rng.random(n) < 0.6).astype(float)
    time[0] = 20.0
    mean = unbiased_times(time, event, 12.0).mean()
    assert 0 <= mean <= 12 + 1e-9
    rows = rng.permutation(n)
    moved = unbiased_times(time[rows], event[rows], 12.0)
    assert np.allclose(moved, unbiased_times(time, event, 12.0)[rows])


@laws
@given(st.floats(-1, 1), st.floats(0.01, 0.2), st.floats(0.05, 1), st.floats(0.005, 0.02))
def test_at_the_flip_point_benefit_and_harm_balance(benefit, error_b, harm, error_h):
    gain = Estimate(benefit, benefit - 1.96 * error_b, benefit + 1.96 * error_b)
    cost = Estimate(harm, harm - 1.96 * error_h, harm + 1.96 * error_h)
    table, flip = net_benefit_of_arm(gain, cost)
    assert np.isclose(benefit - flip.value * harm, 0)
    assert (np.diff(table["value"]) <= 0).all()  # a greater weight never makes it better
