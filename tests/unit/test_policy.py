"""The policy: read from a file or from the study, every fault told at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from stratify.errors import DataError, FileError
from stratify.study.policy import Policy
from stratify.study.utilities import Utilities
from stratify.treatment.triage import triage

GOOD = {
    "name": "board",
    "version": "3",
    "source": "tumour board, minutes of June",
    "monotherapy_below": 0.4,
    "combination_from": 0.7,
    "required_markers": ["pdl1_tps", "tmb"],
}
TEXT = """\
name: board
version: "3"
source: tumour board, minutes of June
monotherapy_below: 0.4
combination_from: 0.7
required_markers: [pdl1_tps, tmb]
"""


def fault(source: object, folder: Path | None = None) -> str:
    with pytest.raises(DataError) as refusal:
        Policy.load(source, folder)
    assert refusal.value.exit_code == 10
    first, *lines = str(refusal.value).splitlines()
    if lines:
        count = f"{len(lines)} faults" if len(lines) > 1 else "1 fault"
        where = first.removesuffix(f": {count} in the policy:")
        assert where != first
        return f"{where}: {'; '.join(line.removeprefix('  ') for line in lines)}."
    return first


def changed(**values: object) -> dict[str, object]:
    """The good policy with other values; those given as None are left out."""
    return {name: value for name, value in (GOOD | values).items() if value is not None}


# ------------------------------------------------------------------- what is read


def test_a_policy_is_read_from_a_mapping_and_from_a_file(tmp_path):
    (tmp_path / "policy.yaml").write_text(TEXT, encoding="utf-8")
    policy = Policy.load(GOOD)
    cautions = ["unseen_category", "far_from_training", "unseen_panel_pattern"]
    assert policy.model_dump(exclude_defaults=True) == GOOD
    assert policy.refer_flags == cautions
    assert Policy.load("policy.yaml", tmp_path) == policy
    assert Policy.load(tmp_path / "policy.yaml") == policy
    assert Policy.load(str(tmp_path / "policy.yaml"), Path("elsewhere")) == policy


def test_a_byte_order_mark_before_the_text_is_no_fault(tmp_path):
    (tmp_path / "policy.yaml").write_text(TEXT, encoding="utf-8-sig")
    assert Policy.load(tmp_path / "policy.yaml").name == "board"


def test_markers_are_optional_and_thresholds_may_be_equal():
    policy = Policy.load(changed(required_markers=None, combination_from=0.4))
    assert policy.required_markers == []
    assert policy.monotherapy_below == policy.combination_from == 0.4


def test_a_policy_does_not_change():
    with pytest.raises(ValidationError):
        Policy.load(GOOD).monotherapy_below = 0.9


# ------------------------------------------------------------------- faults


def test_all_faults_are_told_at_once():
    document = {
        "name": "board",
        "version": "3",
        "monotherapy_below": 0.8,
        "combination_from": 0.6,
        "required_markers": ["site", "tmbx", "tmb", "pfs"],
        "thresholds": [0.5],
    }
    assert fault(document) == (
        "policy: source: required, but not stated; "
        "required_markers.0: site is no biomarker; "
        "required_markers.1: No panel has a column named 'tmbx'; near names are tmb, btmb; "
        "required_markers.3: pfs is no biomarker; "
        "thresholds: unknown key; "
        "combination_from: monotherapy_below (0.8) must not exceed combination_from (0.6)."
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"monotherapy_below": 0.7, "combination_from": 0.4},
            "policy: combination_from: monotherapy_below (0.7) must not exceed combination_from "
            "(0.4).",
        ),
        ({"source": None}, "policy: source: required, but not stated."),
        ({"source": "me"}, "policy: source: String should have at least 3 characters."),
        ({"required_markers": ["regimen"]}, "policy: required_markers.0: regimen is no biomarker."),
        (
            {"required_markers": ["best_response"]},
            "policy: required_markers.0: best_response is no biomarker.",
        ),
        ({"monotherapy_below": 0}, "policy: monotherapy_below: Input should be greater than 0."),
        ({"combination_from": 40}, "policy: combination_from: Input should be less than 1."),
        (
            {"monotherapy_below": "low"},
            "policy: monotherapy_below: Input should be a valid number, unable to parse string as "
            "a number.",
        ),
    ],
)
def test_a_fault_is_told_in_a_whole_sentence(values, message):
    assert fault(changed(**values)) == message


def test_a_faulty_threshold_is_not_compared_with_the_other():
    assert fault(changed(monotherapy_below=1.5)) == (
        "policy: monotherapy_below: Input should be less than 1."
    )


def test_faults_of_a_file_name_it(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(TEXT.replace("0.4", "0.9"), encoding="utf-8")
    assert fault("policy.yaml", tmp_path) == (
        f"{path}: line 5, combination_from: monotherapy_below (0.9) must not exceed "
        "combination_from (0.7)."
    )


@pytest.mark.parametrize("text", ["", "- name: board", "0.4"])
def test_a_file_without_a_mapping_is_told(tmp_path, text):
    path = tmp_path / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    assert fault(path) == f"{path}: a policy file is a YAML mapping; see the README's example."


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("name: board\nname: other\n", ": not valid YAML (in line 2 the key 'name' stands a "
                                       "second time)."),
        ("name: board\nsource: [a\n", ", line 3: not valid YAML (did not find expected ',' or "
                                      "']')."),
    ],
)  # fmt: skip
def test_a_file_that_is_no_yaml_is_told_with_its_line(tmp_path, text, where):
    path = tmp_path / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    assert fault(path) == f"{path}{where}"


def test_a_file_that_is_not_there_or_cannot_be_read_is_told(tmp_path):
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00name")
    messages = {
        "absent.yaml": "There is no policy file {}.",
        "": "The policy file {} cannot be read: Is a directory.",
        "binary.yaml": "The policy file {} cannot be read: 'utf-8' codec can't decode byte 0xff in "
        "position 0: invalid start byte.",
    }
    for name, message in messages.items():
        with pytest.raises(FileError) as refusal:
            Policy.load(name, tmp_path)
        assert str(refusal.value) == message.format(tmp_path / name)
        assert refusal.value.exit_code == 13


# ------------------------------------------------------------------- other ways to decide

BENEFIT = {"value": 0.7, "low": 0.6, "high": 0.8, "source": "trial X"}
HARM = {"kind": "treatment_related", "monotherapy": 0.18, "combination": 0.58}
HARMS = [HARM | {"source": "trial X"}]
RULE = {"marker": "cd8_percent", "monotherapy_from": 15, "combination_below": 15}
BARE = {"name": "board", "version": "3", "source": "tumour board"}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            GOOD | {"marker_rule": RULE},
            "policy: monotherapy_below and combination_from and marker_rule decide in two "
            "ways; one is expected: both thresholds, errors, marker_rule or utilities.",
        ),
        (
            BARE,
            "policy: monotherapy_below: required, but not stated; combination_from: required, but "
            "not stated.",
        ),
        (
            BARE | {"marker_rule": RULE | {"combination_below": 20}},
            "policy: marker_rule.combination_below: combination_below (20) must not exceed "
            "monotherapy_from (15).",
        ),
        (
            BARE | {"marker_rule": RULE | {"marker": "cd9"}},
            "policy: marker_rule.marker: No panel has a column named 'cd9'.",
        ),
        (
            GOOD | {"contraindications": [{"marker": "ecog", "at_least": 2, "below": 4,
                                           "against": "all", "source": "board"}]},
            "policy: contraindications.0.against: Input should be 'monotherapy', 'combination' or "
            "'any'; contraindications.0: one of equals, at_least and below is expected, found "
            "at_least and below.",
        ),
        (
            BARE | {"utilities": {"relative_risk": BENEFIT | {"low": 0.9}, "harms": HARMS * 2,
                                  "weights": [0.1]}},
            "policy: utilities.relative_risk: low, value and high are expected in this order; "
            "utilities.weights: List should have at least 2 items after validation, not 1; "
            "utilities.harms: treatment_related is stated twice.",
        ),
        (
            GOOD | {"landmark": {"weeks": 9, "continue_below": 0.6, "intensify_from": 0.5,
                                 "change_from": 0.4, "source": "board"}},
            "policy: landmark.intensify_from: continue_below (0.6) must not exceed intensify_from "
            "(0.5); landmark.change_from: intensify_from (0.5) must not exceed change_from (0.4).",
        ),
        (
            GOOD | {"label": {"jurisdiction": "mars", "on": "tomorrow"}},
            "policy: label.jurisdiction: Input should be 'us' or 'eu'; label.on: Input should be a "
            "valid date or datetime, input is too short.",
        ),
    ],
)  # fmt: skip
def test_faults_of_the_other_ways_are_told_by_their_place(document, message):
    assert fault(document) == message


def test_a_marker_that_nobody_has_is_an_error_before_anybody_is_referred():
    policy = Policy.load(GOOD)
    with pytest.raises(DataError) as refusal:
        policy.require_known(["pdl1_tps", "age"], "the study our_trial")
    assert str(refusal.value) == (
        "policy board 3 names tmb, which the study our_trial does not have: every patient would be "
        "referred. Map it in the study file or remove it from the policy."
    )


def test_utilities_give_the_thresholds_at_which_benefit_and_harm_balance():
    """r* = (w difference + delay) / (1 - relative risk): by hand (0.1 x 0.4 + 0.02) / (1 - 0.6)."""
    utilities = {"relative_risk": BENEFIT, "harms": HARMS, "weights": [0.1, 0.3],
                 "delay_loss": 0.02}  # fmt: skip
    low, high = Policy.load(BARE | {"utilities": utilities}).thresholds
    assert low == pytest.approx((0.1 * 0.4 + 0.02) / 0.4)
    assert high == pytest.approx((0.3 * 0.4 + 0.02) / 0.2)


def test_where_the_benefit_is_not_shown_it_is_never_combination():
    utilities = {"relative_risk": BENEFIT | {"high": 1.05}, "harms": HARMS, "weights": [0.1, 0.3]}
    assert Policy.load(BARE | {"utilities": utilities}).thresholds[1] == float("inf")


def test_the_grid_names_the_threshold_of_every_weight_and_harm():
    utilities = {"relative_risk": BENEFIT, "harms": HARMS, "weights": [0.1, 0.3]}
    policy = Policy.load(BARE | {"utilities": utilities})
    grid = policy.utilities.grid()
    assert grid[["kind", "weight"]].drop_duplicates().shape[0] == 2 * len(HARMS) == len(grid)
    assert policy.thresholds == pytest.approx(
        (grid["threshold_low"].min(), grid["threshold_high"].max())
    )
    first = grid.iloc[0]  # by hand 0.1 x 0.4 / (1 - 0.5)
    assert first["threshold"] == pytest.approx(0.1 * 0.4 / (1 - BENEFIT["value"]))


@pytest.mark.parametrize("seed", range(40))
def test_thresholds_hold_at_every_weight_whatever_the_signs(seed):
    rng = np.random.default_rng(seed)
    low, value, high = np.sort(rng.uniform(0.4, 1.3, 3))
    shares = rng.uniform(0, 0.6, 4).round(3)
    utilities = Utilities(
        weights=sorted(rng.uniform(0.05, 1, 3)),
        harms=[
            {"kind": kind, "monotherapy": mono, "combination": both, "source": "drawn"}
            for kind, mono, both in zip(
                ("treatment_related", "all_cause"), shares[:2], shares[2:], strict=True
            )
        ],
        relative_risk={"value": value, "low": low, "high": high, "source": "drawn"},
        delay_loss=float(rng.choice([0, 0.05])),
    )
    below, above = utilities.thresholds
    assert below <= above
    risk = np.linspace(0, 1, 2001)
    gains = np.array(
        [
            risk * (1 - ratio) - weight * harm.difference - utilities.delay_loss
            for weight in utilities.weights
            for harm in utilities.harms
            for ratio in (low, value, high)
        ]
    )
    assert (gains[:, risk < below] <= 1e-9).all()
    assert (gains[:, risk >= above] >= -1e-9).all()
    within = (risk > below + 1e-3) & (risk < above - 1e-3)
    assert (gains[:, within].max(axis=0) > 0).all()  # neither is better at every weight
    assert (gains[:, within & (risk > 0)].min(axis=0) < 0).all() or high > 1


def test_a_less_toxic_combination_that_starts_later_has_thresholds_in_order():
    less = {"kind": "all_cause", "monotherapy": 0.3, "combination": 0.1, "source": "invented"}
    utilities = Utilities(
        weights=[0.1, 0.5], harms=[less], delay_loss=0.05,
        relative_risk={"value": 0.8, "low": 0.7, "high": 0.85, "source": "invented"},
    )  # fmt: skip
    assert utilities.thresholds == pytest.approx((0, 0.03 / 0.15))  # 0.1 x -0.2 + 0.05, over 0.15
    flips = utilities.flip_points([0.1, 0.5])["weight"]
    assert flips.tolist() == pytest.approx([(0.05 - 0.1 * 0.2) / 0.2, np.inf])


@pytest.mark.parametrize(
    ("high", "less", "risk", "reason", "change"),
    [
        (
            1.05,
            0.4,
            (0.3, 0.5, 0.7),
            "The risk lies at or above 0.1, and no risk gives the combination (policy board 3). By "
            "treatment-related events the choice flips at a weight of 0.38. Weights of one grade 3 "
            "event: 0.1 to 0.3.",
            "A risk below 0.1.",
        ),
        (
            0.8,
            0.0,
            (0.3, 0.5, 0.7),
            "The risk lies at or above 0 (policy board 3). By "
            "treatment-related events the combination is better at every weight. Weights of one "
            "grade 3 event: 0.1 to 0.3.",
            "A risk below 0.",
        ),
    ],
)
def test_thresholds_where_no_risk_is_are_said_in_words(high, less, risk, reason, change):
    """The flip by hand: 0.5 x (1 - 0.7) / 0.4."""
    utilities = {
        "relative_risk": BENEFIT | {"high": high},
        "harms": [HARMS[0] | {"monotherapy": 0.2, "combination": 0.2 + less}],
        "weights": [0.1, 0.3],
    }
    policy = Policy.load(BARE | {"utilities": utilities})
    row = pd.DataFrame([dict(zip(["risk_low", "risk", "risk_high"], risk, strict=True))])
    found = triage(row, pd.DataFrame(index=row.index), policy).iloc[0]
    assert (found["reason"], found["would_change"]) == (reason, change)


LANDMARK = {"weeks": 6, "continue_below": 0.3, "intensify_from": 0.5, "change_from": 0.8,
            "source": "minutes of July"}  # fmt: skip
CD8 = {"marker": "cd8_percent", "monotherapy_from": 15, "combination_below": 15}


@pytest.mark.parametrize(
    ("policy", "weeks", "said"),
    [
        (GOOD, None, "monotherapy below 0.4, combination from 0.7, by the "
         "risk; source: tumour board, minutes of June."),
        (BARE | {"marker_rule": CD8}, None, "monotherapy where cd8_percent is 15 or more, "
         "combination where it is below 15; source: tumour board."),
        (GOOD | {"landmark": LANDMARK}, 6, "at week 6 continue below 0.3, intensify from 0.5, "
         "change from 0.8, by the risk; source: minutes of July."),
    ],
)  # fmt: skip
def test_what_a_policy_does_is_said_in_a_sentence(policy, weeks, said):
    assert Policy.load(policy).statement(weeks) == f"Policy board 3: {said}"


def test_markers_of_the_landmark_are_not_asked_for_at_baseline():
    at_landmark = LANDMARK | {"required_markers": ["ctdna_ratio_week_6"]}
    policy = Policy.load(GOOD | {"landmark": at_landmark})
    assert policy.markers() == ["pdl1_tps", "tmb"]
    assert policy.markers(6) == ["ctdna_ratio_week_6", "regimen"]


def test_a_landmark_asks_for_biomarkers_alone():
    text = fault(GOOD | {"landmark": LANDMARK | {"required_markers": ["arm", "zzz"]}})
    assert text.startswith("policy: landmark.required_markers.0: arm is no biomarker; ")
