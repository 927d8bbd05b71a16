"""Scores and labels in formats of trials and portals, and formats that packages add."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyreadstat
import pytest

from stratify.cli import main
from stratify.errors import ArgumentError, DataError
from stratify.interchange.exports import exports, read_result, write_export
from stratify.tables.schema import load_schema
from stratify.tables.tabular import write_table


@pytest.fixture
def scores() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "patient_id": ["b-2", "a-1", "c-3"],
            "cohort": "home",
            "risk": [0.61, 0.4, np.nan],
            "risk_low": [0.5, 0.3, np.nan],
            "risk_high": [0.7, 0.5, np.nan],
            "risk_group": ["high", "low", np.nan],
            "recommendation": ["combination", "refer", np.nan],
            "reason": ["risk above 0.55", "key marker missing", np.nan],
            "evidence_class": "C1",
            "panels_missing": ["", "tmb", ""],
            "flags": "research_use_only",
            "model_version": "0.1.0",
            "endpoint_rule": "proxy_pfs6@1.0.0",
            "would_change": ["A risk below 0.6."] * 3,
            "decision_rule": "board 3: errors",
            "error_bound": [0.25, np.nan, np.nan],
        }
    )


@pytest.fixture
def labels() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "patient_id": ["a-1", "b-2"],
            "cohort": "home",
            "state": ["primary", "not_evaluable"],
            "reason": ["event_before_horizon", "censored_before_horizon"],
            "label": [1.0, np.nan],
            "endpoint_rule": "proxy_pfs6@1.0.0",
        }
    )


def test_scores_and_labels_go_out_as_adam(tmp_path, scores, labels):
    before = scores.copy(), labels.copy()
    csv, xpt = write_export("adam", scores, labels, tmp_path / "out")
    table, meta = pyreadstat.read_xport(str(xpt))
    assert (meta.table_name, meta.file_label) == ("ADRISK", "Risk of resistance, research use only")
    again = pd.read_csv(csv, keep_default_na=False, na_values={"AVAL": [""]})
    pd.testing.assert_frame_equal(again, table, check_dtype=False)
    assert csv.name == "ADRISK.csv"
    shown = table[["USUBJID", "PARAMCD", "AVAL", "AVALC", "REASON"]].astype(object).to_numpy()
    shown = [["" if cell != cell else cell for cell in row] for row in shown]
    assert shown == [
        ["a-1", "RISK", 0.4, "", ""],
        ["a-1", "RISKLO", 0.3, "", ""],
        ["a-1", "RISKHI", 0.5, "", ""],
        ["a-1", "RECOMM", "", "refer", "key marker missing"],
        ["a-1", "RESIST", 1.0, "primary", "event_before_horizon"],
        ["b-2", "RISK", 0.61, "", ""],
        ["b-2", "RISKLO", 0.5, "", ""],
        ["b-2", "RISKHI", 0.7, "", ""],
        ["b-2", "RECOMM", "", "combination", "risk above 0.55"],
        ["b-2", "RESIST", "", "not_evaluable", "censored_before_horizon"],
    ]
    assert set(table["STUDYID"]) == {"home"}
    assert set(table["AVISIT"]) == {"BASELINE"}
    assert set(table["ENDPRULE"]) == {"proxy_pfs6@1.0.0"}
    assert all(len(name) <= 8 for name in table.columns)
    for now, then in zip((scores, labels), before, strict=True):
        pd.testing.assert_frame_equal(now, then)


def test_a_model_that_recommends_nothing_has_no_such_rows(tmp_path, scores):
    silent = scores.assign(recommendation=np.nan, reason=np.nan)
    csv, _ = write_export("adam", silent, None, tmp_path)
    assert set(pd.read_csv(csv)["PARAMCD"]) == {"RISK", "RISKLO", "RISKHI"}


def test_scores_and_labels_go_out_as_a_table_of_cbioportal(tmp_path, scores, labels):
    (path,) = write_export("cbioportal", scores, labels, tmp_path / "out")
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    assert path.name == "data_clinical_patient_stratify.txt"
    assert len({len(line) for line in lines}) == 1
    assert [line[0] for line in lines[:4]] == [
        "#Patient identifier",
        "#As in the study's files.",
        "#STRING",
        "#1",
    ]
    assert lines[0][1:3] == ["Stratify risk", "Stratify risk low"]
    assert lines[2][1:5] == ["NUMBER", "NUMBER", "NUMBER", "STRING"]
    assert lines[4] == [
        *("PATIENT_ID", "STRATIFY_RISK", "STRATIFY_RISK_LOW", "STRATIFY_RISK_HIGH"),
        *("STRATIFY_RISK_GROUP", "STRATIFY_RECOMMENDATION", "STRATIFY_REASON"),
        *("STRATIFY_EVIDENCE_CLASS", "STRATIFY_PANELS_MISSING", "STRATIFY_FLAGS"),
        *("STRATIFY_MODEL_VERSION", "STRATIFY_ENDPOINT_RULE"),
        "STRATIFY_WOULD_CHANGE",
        *("STRATIFY_DECISION_RULE", "STRATIFY_ERROR_BOUND"),
        *("STRATIFY_STATE", "STRATIFY_STATE_REASON"),
    ]
    assert lines[5][:3] + lines[5][-2:] == [
        *("b-2", "0.61", "0.5"),
        *("not_evaluable", "censored_before_horizon"),
    ]
    assert lines[7][1:3] + lines[7][-2:] == ["NA", "NA", "NA", "NA"]
    (without,) = write_export("cbioportal", scores, None, tmp_path / "other")
    assert "STRATIFY_STATE" not in without.read_text(encoding="utf-8")


def test_tables_without_their_columns_do_not_go_out(tmp_path, scores, labels):
    expected = ", ".join(load_schema("scores").fields)
    message = f"`scores` has no column risk; {expected} are expected. Pass scores as stratify"
    for name in exports():
        with pytest.raises(ArgumentError) as told:
            write_export(name, scores.drop(columns="risk"), labels, tmp_path / "out")
        assert str(told.value).startswith(message)
    with pytest.raises(ArgumentError, match="`labels` has no column state;"):
        write_export("adam", scores, labels.drop(columns="state"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_texts_too_long_for_a_transport_file_do_not_go_out(tmp_path, scores):
    with pytest.raises(DataError) as told:
        write_export("adam", scores.assign(reason="ä" * 101), None, tmp_path / "out")
    assert str(told.value) == (
        "ADRISK: texts of REASON have more than 200 bytes (2 rows), the most that a SAS transport "
        "file takes. Shorten them."
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (
            ["a-1", "a-1", "c-3"],
            "scores: identifiers that stand more than once (2 rows), which cBioPortal does not "
            "take. Write one file a cohort.",
        ),
        (
            ["a 1", "b-2", "c-3"],
            "scores: identifiers with other signs than letters, digits, '.', '_' and '-' (1 row), "
            "which cBioPortal does not take. Rename them.",
        ),
    ],
)
def test_identifiers_that_cbioportal_does_not_take_do_not_go_out(tmp_path, scores, ids, message):
    with pytest.raises(DataError) as told:
        write_export("cbioportal", scores.assign(patient_id=ids), None, tmp_path / "out")
    assert str(told.value) == message
    assert not (tmp_path / "out").exists()


# --------------------------------------------------------------------------- the command


def run(*arguments: object) -> int:
    try:
        main([str(each) for each in arguments])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.fixture
def files(tmp_path, scores, labels) -> dict[str, Path]:
    """Files as `score` and `labels` write them, with an identifier that looks like a number."""
    ids = {"b-2": "007"}
    found = {"scores": tmp_path / "scores.csv", "labels": tmp_path / "labels.csv"}
    write_table(scores.replace({"patient_id": ids}), found["scores"])
    write_table(labels.replace({"patient_id": ids}), found["labels"])
    return found


@pytest.mark.parametrize("name", ["adam", "cbioportal"])
def test_the_command_writes_what_the_library_writes(tmp_path, files, scores, labels, capsys, name):
    out, ids = tmp_path / "out", {"b-2": "007"}
    code = run(
        *("export", name, "--scores", files["scores"]),
        *("--labels", files["labels"], "--out", out),
    )
    assert code == 0
    given = (scores.replace({"patient_id": ids}), labels.replace({"patient_id": ids}))
    expected = write_export(name, *given, tmp_path / "library")
    assert [path.name for path in expected] == sorted(path.name for path in out.iterdir())
    for path in expected:
        if path.suffix != ".xpt":  # which holds the time at which it was written
            how = {"sep": "," if path.suffix == ".csv" else "\t", "comment": "#", "dtype": str}
            pd.testing.assert_frame_equal(
                pd.read_csv(out / path.name, **how), pd.read_csv(path, **how)
            )
    names = ", ".join(path.name for path in expected)
    assert capsys.readouterr().out == f"Written to {out}, research use only: {names}.\n"


def test_a_format_that_nobody_knows_is_wrong_usage(tmp_path, files, capsys):
    assert run("export", "fhir", "--scores", files["scores"], "--out", tmp_path / "out") == 2
    assert capsys.readouterr().err == (
        "Error: There is no export format 'fhir'; there are adam, cbioportal.\n"
    )
    assert not (tmp_path / "out").exists()


def test_a_number_that_is_none_is_said(tmp_path, scores):
    path = tmp_path / "scores.csv"
    write_table(scores.assign(risk=["0.4", "high", ""]), path)
    with pytest.raises(DataError) as refusal:
        read_result(path, "scores")
    assert str(refusal.value) == (
        f"{path}: column risk holds cells that are no number (1); pass scores as stratify writes "
        "them."
    )


def test_an_installed_package_adds_a_format(tmp_path, files, monkeypatch, capsys):
    (tmp_path / "our_format.py").write_text(
        "class Plain:\n"
        "    name = 'plain'\n"
        "    title = 'One line a patient'\n"
        "    def write(self, scores, labels, folder):\n"
        "        folder.mkdir()\n"
        "        lines = [f'{r.patient_id} {r.risk:.2f}' for r in scores.itertuples()]\n"
        "        (folder / 'plain.txt').write_text('\\n'.join(lines))\n"
        "        return [folder / 'plain.txt']\n"
        "plain = Plain()\n",
        encoding="utf-8",
    )
    info = tmp_path / "our_format-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: our-format\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[stratify.exports]\nplain = our_format:plain\n")
    monkeypatch.syspath_prepend(tmp_path)
    out = tmp_path / "out"
    assert run("export", "plain", "--scores", files["scores"], "--out", out) == 0
    assert (out / "plain.txt").read_text() == "007 0.61\na-1 0.40\nc-3 nan"
    capsys.readouterr()
