"""Laws of the decision rule, whatever the policy and the risks."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from stratify.study.policy import Policy
from stratify.treatment.triage import triage

ORDER = {"monotherapy": 0, "refer": 1, "combination": 2}
MARKERS = ["tmb", "pdl1_tps", "albumin", "immune_phenotype"]

laws = settings(deadline=None, max_examples=50, derandomize=True, database=None)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    low, high = sorted(draw(st.tuples(*[st.floats(0.01, 0.99)] * 2)))
    return Policy(
        name="any",
        version="1",
        source="drawn at random",
        monotherapy_below=low,
        combination_from=high,
        decide_by=draw(st.sampled_from(["risk", "interval"])),
        required_markers=draw(st.lists(st.sampled_from(MARKERS), unique=True)),
    )


@st.composite
def risks(draw: st.DrawFn, *, equal_widths: bool = False) -> pd.DataFrame:
    """Risks with intervals around them on the log-odds scale."""
    n = draw(st.integers(1, 6))
    margins = np.sort(draw(st.lists(st.floats(-8, 8), min_size=n, max_size=n)))
    widths = st.floats(0, 4)
    below, above = (
        draw(widths if equal_widths else st.lists(widths, min_size=n, max_size=n).map(np.array))
        for _ in range(2)
    )
    return pd.DataFrame(
        {
            "risk": expit(margins),
            "risk_low": expit(margins - below),
            "risk_high": expit(margins + above),
        }
    )


@st.composite
def markers(draw: st.DrawFn, n: int) -> pd.DataFrame:
    """Some of the columns, some of their values."""
    names = draw(st.lists(st.sampled_from(MARKERS), unique=True))
    columns = {
        name: draw(st.lists(st.sampled_from([0.0, 40.0, None]), min_size=n, max_size=n))
        for name in names
    }
    table = pd.DataFrame(columns, index=range(n), dtype=float)
    if "immune_phenotype" in table:
        table["immune_phenotype"] = table["immune_phenotype"].map({0.0: "desert", 40.0: "inflamed"})
    return table


def measured(n: int) -> pd.DataFrame:
    return pd.DataFrame(1.0, index=range(n), columns=MARKERS)


@laws
@given(policies(), risks(equal_widths=True))
def test_with_equal_widths_a_higher_risk_never_speaks_for_less_treatment(policy, table):
    found = triage(table, measured(len(table)), policy, mixed_regimens=False)
    ranks = found["recommendation"].map(ORDER).to_numpy()
    assert (np.diff(ranks) >= 0).all()  # rows are sorted by risk


@laws
@given(policies(), st.data())
def test_a_required_marker_that_is_missing_always_refers(policy, data):
    table = data.draw(risks())
    known = data.draw(markers(len(table)))
    found = triage(table, known, policy, mixed_regimens=False)
    required = known.reindex(columns=policy.required_markers)
    lacking = required.isna().any(axis=1)
    assert (found.loc[lacking, "recommendation"] == "refer").all()
    for reason, row in zip(found["reason"], required.isna().to_numpy(), strict=True):
        names = [name for name, absent in zip(required, row, strict=True) if absent]
        said = f"Required markers are missing: {', '.join(names)} (policy any 1)."
        assert (reason == said) == bool(names)


@laws
@given(st.none() | policies(), st.data(), st.booleans())
def test_every_patient_gets_one_of_three_answers_or_none_at_all(policy, data, mixed_regimens):
    table = data.draw(risks())
    known = data.draw(markers(len(table)))
    before = table.copy(), known.copy()
    found = triage(table, known, policy, mixed_regimens=mixed_regimens)
    assert list(found.columns) == [
        *("recommendation", "reason", "evidence_class", "would_change"),
        *("decision_rule", "error_bound"),
    ]
    assert found.index.equals(table.index)
    if mixed_regimens:
        assert found["recommendation"].isna().all()
    else:
        assert set(found["recommendation"]) <= set(ORDER)
    if policy is None and not mixed_regimens:
        assert set(found["recommendation"]) == {"refer"}
    assert found["reason"].str.fullmatch(r"[A-Z].*\.").all()
    assert set(found["evidence_class"]) == {"C1"}
    pd.testing.assert_frame_equal(table, before[0])
    pd.testing.assert_frame_equal(known, before[1])


@laws
@given(policies(), risks())
def test_a_recommendation_is_given_only_if_what_decides_is_on_its_side(policy, table):
    found = triage(table, measured(len(table)), policy, mixed_regimens=False)["recommendation"]
    low, high = ("risk", "risk") if policy.decide_by == "risk" else ("risk_low", "risk_high")
    below = table[high] < policy.monotherapy_below
    above = table[low] >= policy.combination_from
    assert (found[below] == "monotherapy").all()
    assert (found[above] == "combination").all()
    assert (found[~below & ~above] == "refer").all()


@laws
@given(policies(), risks(), st.randoms(use_true_random=False))
def test_a_patient_s_answer_does_not_depend_on_the_others(policy, table, random):
    rows = random.sample(range(len(table)), len(table))
    known = measured(len(table))
    whole = triage(table, known, policy, mixed_regimens=False)
    moved = triage(table.iloc[rows], known.iloc[rows], policy, mixed_regimens=False)
    pd.testing.assert_frame_equal(moved, whole.iloc[rows])
