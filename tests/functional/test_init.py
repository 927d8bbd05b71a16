"""`stratify init`: from exported files to a study that validates, and every choice told."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from stratify import cli
from stratify.simulation import simulate
from stratify.study import Study

N = 150


@pytest.fixture(scope="module")
def adam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ADaM as CSV: two arms, PFS and OS in days, one investigator's response."""
    folder = tmp_path_factory.mktemp("adam")
    panels = simulate(N, seed=4, combination_share=0.3).panels
    clinical, outcomes = panels["clinical"], panels["outcomes"]
    arms = {"anti_pd1_pdl1": "Drug A", "ici_chemotherapy": "Drug A + Chemo"}
    ids = outcomes["patient_id"]
    pd.DataFrame(
        {
            "STUDYID": "TRIAL-7",
            "USUBJID": clinical["patient_id"],
            "AGE": clinical["age"],
            "AGEU": "YEARS",
            "SEX": clinical["sex"].str[0].str.upper(),
            "TRT01P": clinical["arm"].map(arms),
            "TRTSDT": clinical["first_dose_date"].dt.strftime("%d%b%Y").str.upper(),
        }
    ).to_csv(folder / "ADSL.csv", index=False)
    pd.DataFrame({"USUBJID": ids, "PARAMCD": "BOR", "AVALC": outcomes["best_response"]}).to_csv(
        folder / "ADRS.csv", index=False
    )
    pd.concat(
        pd.DataFrame(
            {
                "USUBJID": ids,
                "PARAMCD": name.upper(),
                "AVAL": (outcomes[name] * 30.4375).round(0),
                "AVALU": "DAYS",
                "CNSR": 1 - outcomes[f"{name}_event"].astype(int),
            }
        )
        for name in ("pfs", "os")
    ).to_csv(folder / "ADTTE.csv", index=False)
    return folder


def ended(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    return int(end.value.code or 0)


def test_init_tells_what_was_written_chosen_and_left_open(adam, tmp_path, capsys):
    out = tmp_path / "trial"
    told = ["--regimen", "Drug A=anti_pd1_pdl1"]
    assert ended(["init", "--from", "adam", str(adam), "--out", str(out), *told]) == 0
    lines = (out / "study.yaml").read_text(encoding="utf-8").splitlines()
    (line,) = [i for i, text in enumerate(lines, 1) if text.endswith("# fill in: regimen")]
    assert lines[line - 1].strip() == "Drug A + Chemo: null  # fill in: regimen"
    assert capsys.readouterr().out.splitlines() == [
        f"Written to {out}: study.yaml, panels/clinical.csv, panels/outcomes.csv.",
        "- best_response is parameter BOR of ADRS.csv.",
        "- pfs is parameter PFS of ADTTE.csv.",
        "- os is parameter OS of ADTTE.csv.",
        "- Times run from the start that ADTTE took, often randomisation; check that it is close "
        "to the first dose.",
        f"Fill in regimen: {out / 'study.yaml'}, line {line}.",
        f"Then run: stratify validate {out / 'study.yaml'}",
    ]


def test_a_study_made_by_init_validates(adam, tmp_path, capsys):
    out = tmp_path / "trial"
    told = ["--regimen", "Drug A=anti_pd1_pdl1", "--regimen", "Drug A + Chemo = ici_chemotherapy"]
    assert ended(["init", str(adam), "--from", "adam", "--out", str(out), *told]) == 0
    assert "Fill in" not in capsys.readouterr().out
    assert Study.load(out / "study.yaml").name == "TRIAL-7"
    assert ended(["validate", str(out / "study.yaml")]) == 0
    assert "TRIAL-7: 0 errors" in capsys.readouterr().out


def test_validate_fails_while_the_regimen_is_open(adam, tmp_path, capsys):
    out = tmp_path / "trial"
    assert ended(["init", "--from", "adam", str(adam), "--out", str(out)]) == 0
    assert ended(["validate", str(out / "study.yaml")]) == 10
    text = " ".join(capsys.readouterr().out.split())
    assert f"none of {N} patients has an eligible regimen (anti_pd1_pdl1)." in text
    assert "check the regimen coding" in text


def test_init_reads_cbioportal(tmp_path, capsys):
    text = "Patient ID\tDrug Type\tOverall Survival (Months)\tOverall Survival Status\n"
    text += "P-1\tPD-1/PDL-1\t7.5\t1:DECEASED\nP-2\tCombo\t9\t0:LIVING\n"
    (tmp_path / "x_clinical_data.tsv").write_text(text, encoding="utf-8")
    out = tmp_path / "out"
    assert ended(["init", "--from", "cbioportal", str(tmp_path), "--out", str(out)]) == 0
    assert "patients can be scored, not labelled." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--from", "fhir"], 2, "'fhir' is not one of 'adam', 'cbioportal'"),
        (["--from", "cbioportal"], 13, "holds no clinical file of cBioPortal;"),
        (["--from", "adam", "--regimen", "Drug A"], 2, "--regimen is 'Drug A'; ARM=CLASS is"),
        (["--from", "adam", "--regimen", "Drug A=mono"], 2, "'mono' is no class; classes are"),
        (
            ["--from", "adam", "--regimen", "Drug Q=other"],
            2,
            "no arm 'Drug Q' in ADRS.csv, ADSL.csv and ADTTE.csv;",
        ),
    ],
)
def test_wrong_use_ends_with_its_code_and_writes_nothing(
    adam, tmp_path, capsys, arguments, code, message
):
    out = tmp_path / "out"
    assert ended(["init", str(adam), "--out", str(out), *arguments]) == code
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not out.exists()
