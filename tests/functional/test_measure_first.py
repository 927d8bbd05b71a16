"""The answer `measure`: which missing marker would decide, how probably, and what it leads to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from stratify.cohort.reading import read_cohort
from stratify.errors import ArgumentError
from stratify.scoring import load
from stratify.study import Study
from stratify.study.policy import Policy

STATED = {"name": "board", "version": "1", "source": "illustration only"}
LIMITS = {"monotherapy_below": 0.5, "combination_from": 0.65, "refer_flags": []}
ASKED = {"probability": 0.25, "markers": ["tmb", "pdl1_tps"]}


@pytest.fixture(scope="module")
def known(trained):
    """The model and its external patients without TMB."""
    cohort = read_cohort(Study.load(trained.study))
    table = cohort.table[cohort.table["cohort"] == "simulated_external"].reset_index(drop=True)
    return load(trained.bundle), table, table.assign(tmb=np.nan), cohort.assays


def scored(known, **more):
    model, _, blank, assays = known
    policy = Policy.load(STATED | LIMITS | more)
    return model.with_policy(policy, blank.columns, "the study").score_table(blank, assays)


def test_only_the_referred_are_asked_and_the_marker_is_named_with_its_probability(known):
    plain, asked = scored(known), scored(known, measure=ASKED)
    measure = asked["recommendation"] == "measure"
    assert 0 < measure.sum() < (plain["recommendation"] == "refer").sum()
    assert (plain.loc[measure, "recommendation"] == "refer").all()
    others = plain.columns.difference(["recommendation", "reason", "would_change"])
    pd.testing.assert_frame_equal(plain[others], asked[others])
    pd.testing.assert_frame_equal(plain[~measure], asked[~measure])
    found = asked.loc[measure, "reason"].str.extract(
        r"^Measuring (tmb|pdl1_tps) would decide with a probability of (\d\.\d\d) "
        r"\(policy board 1\)\.$"
    )
    assert found.notna().all(axis=None)
    assert (found[1].astype(float) >= 0.25).all()
    leads = asked.loc[measure, "would_change"]
    assert leads.str.fullmatch(
        r"(tmb|pdl1_tps) of [\d.e+]+( to [\d.e+]+)? leads to (monotherapy|combination|refer) "
        r"\(probability \d\.\d\d\)(, of [\d.e+]+( to [\d.e+]+)? to \w+ \(\d\.\d\d\))*\."
    ).all()


def test_each_patient_is_answered_without_regard_to_the_others(known):
    model, _, blank, assays = known
    whole = scored(known, measure=ASKED)
    policy = Policy.load(STATED | LIMITS | {"measure": ASKED})
    model = model.with_policy(policy, blank.columns, "the study")
    rows = np.flatnonzero(whole["recommendation"] == "measure")[:3]
    for row in rows:
        alone = model.score_table(blank.iloc[[row]], assays)
        pd.testing.assert_frame_equal(alone, whole.iloc[[row]])


def test_a_contraindicated_patient_is_not_measured_first(known):
    against = {"marker": "age", "at_least": 0, "against": "any", "source": "minutes"}
    found = scored(known, measure=ASKED, contraindications=[against])
    assert set(found["recommendation"]) == {"refer"}


def test_no_patient_is_decided_without_a_required_marker_unless_its_value_hardly_matters(known):
    required = {"required_markers": ["tmb"]}
    assert set(scored(known, **required)["recommendation"]) == {"refer"}
    strict = scored(known, **required, measure=ASKED)
    assert set(strict["recommendation"]) == {"measure", "refer"}
    lenient = scored(known, **required, measure=ASKED | {"required_below": 0.1})
    decided = lenient["recommendation"].isin(["monotherapy", "combination"])
    assert 0 < decided.sum() < len(lenient)
    free = scored(known)
    assert (free.loc[decided, "recommendation"] == lenient.loc[decided, "recommendation"]).all()
    share = lenient.loc[decided, "reason"].str.extract(
        r"\(policy board 1\)\. tmb is not measured and would change this with a probability of "
        r"(.*)\.$"
    )[0]
    assert (share.astype(float) <= 0.1).all()


@pytest.mark.parametrize("marker", ["tmb"])
def test_the_stated_probability_is_that_found_when_it_is_measured(known, marker):
    """In all referred patients, not only in those above a limit."""
    model, table, _, assays = known
    policy = Policy.load(STATED | LIMITS | {"measure": {"probability": 0.02, "markers": [marker]}})
    asking = model.with_policy(policy, table.columns, "the study")
    measured = table[table[marker].notna()]
    blank = measured.assign(**{marker: np.nan})
    before = asking.score_table(blank, assays)
    asked = before["recommendation"] == "measure"
    stated = before.loc[asked, "reason"].str.extract(r"of (\d\.\d\d) \(")[0].astype(float)
    plain = replace(asking, policy=policy.model_copy(update={"measure": None}))
    after = plain.score_table(measured[asked.to_numpy()], assays)["recommendation"] != "refer"
    margin = 1.96 * after.std() / np.sqrt(len(after))
    assert len(after) > 20
    assert abs(stated.mean() - after.mean()) < 0.05 + margin


def test_what_cannot_be_foreseen_is_refused(known):
    model, _, blank, _ = known
    asked = Policy.load(STATED | LIMITS | {"measure": {"probability": 0.3, "markers": ["btmb"]}})
    with pytest.raises(ArgumentError) as refusal:
        model.with_policy(asked, blank.columns, "the study")
    assert str(refusal.value) == (
        "policy board 1 would measure btmb, which the model does not read: no result could change "
        "its risk. Remove it from `measure.markers`."
    )
    asked = Policy.load(STATED | LIMITS | {"measure": ASKED})
    with pytest.raises(ArgumentError) as refusal:
        replace(model, uncertainty=None).with_policy(asked, blank.columns, "the study")
    assert str(refusal.value) == (
        "policy board 1 says what to measure first, and the bundle keeps no summary of its "
        "training patients to foresee it by. Train it again, or remove `measure`."
    )
    with pytest.raises(Exception, match=r"measure\.probability: Input should be less than 1"):
        Policy.load(STATED | LIMITS | {"measure": {"probability": 1.5, "markers": ["tmb"]}})
