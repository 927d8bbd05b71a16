"""NSCLC cohorts of other centres: faults of the published files are found, not guessed away."""

from __future__ import annotations

import pandas as pd
import pytest

from stratify.cli import main
from stratify.cohort.features import informative_features

from .conftest import STUDIES

pytestmark = pytest.mark.realdata


@pytest.fixture
def validate(public_data, monkeypatch, tmp_path, capsys):
    """Exit code, findings and printed text of ``stratify validate``."""
    monkeypatch.setenv("STRATIFY_DATA", str(public_data))

    def run(study):
        with pytest.raises(SystemExit) as ended:
            main(["validate", str(study), "--out", str(tmp_path / "findings.csv")])
        findings = pd.read_csv(tmp_path / "findings.csv", keep_default_na=False)
        return ended.value.code or 0, findings, capsys.readouterr().out

    return run


def found(findings, severity):
    rows = findings[findings["severity"] == severity]
    return list(rows[["code", "column", "n"]].itertuples(index=False, name=None))


def test_days_under_the_name_of_months_are_found(validate, tmp_path):
    """Ravi_NSCLC.csv of Chang 2024: ``PFS_Months`` and ``OS_Months`` hold days."""
    study = tmp_path / "ravi.yaml"
    text = (STUDIES / "ravi.yaml").read_text(encoding="utf-8")
    assert text.count("unit: days") == 2
    study.write_text(text.replace("unit: days", "unit: months"), encoding="utf-8")

    code, findings, printed = validate(study)

    assert code == 10
    assert found(findings, "error") == [
        ("looks_like_another_unit", "pfs", 297),
        ("looks_like_another_unit", "os", 306),
    ]
    messages = findings.loc[findings["severity"] == "error", "message"].tolist()
    assert messages == [
        f"Ravi_NSCLC.csv: {name} is stated in months but looks like {unit} (the median lies "
        f"outside {usual} months)."
        for name, unit, usual in (("pfs", "days or weeks", "1 to 36"), ("os", "days", "3 to 72"))
    ]
    assert found(findings, "warning") == [
        ("constant_column", "albumin", 309),
        ("constant_column", "nlr", 309),
    ]
    assert "\nravi: 2 errors, 2 warnings.\n" in printed


def test_ravi_as_shipped_passes_and_its_filled_in_columns_are_missing(validate, read):
    """Ravi_NSCLC.csv of Chang 2024: one albumin and one NLR for all 309 patients."""
    code, findings, printed = validate(STUDIES / "ravi.yaml")
    cohort = read("ravi")

    assert code == 0
    assert found(findings, "warning") == [
        ("constant_column", "albumin", 309),
        ("constant_column", "nlr", 309),
    ]
    assert "\nravi: 0 errors, 2 warnings.\n" in printed
    assert cohort.table[["albumin", "nlr"]].isna().all(axis=None)
    features = informative_features(cohort, None)
    assert not {"albumin", "nlr"} & set(features)
    assert {"tmb", "pdl1_tps", "age", "histology"} <= set(features)


def test_ravi_patients_after_each_step(read):
    """309 patients (Ravi 2023, 10.1038/s41588-023-01355-5), 245 on anti-PD-(L)1 alone."""
    attrition = read("ravi").attrition

    assert list(zip(attrition["reason"], attrition["n"], strict=True)) == [
        ("", 309),
        ("regimen ici_combination", 64),
        ("", 245),
        ("censored_before_horizon", 7),
        ("pfs_missing", 10),
        ("", 228),
    ]


def test_shim_passes_with_a_word_on_three_patients(validate, read):
    """198 patients (Shim 2020, 10.1016/j.annonc.2020.04.004), all on anti-PD-(L)1 alone."""
    code, findings, printed = validate(STUDIES / "shim.yaml")

    assert code == 0
    assert found(findings, "warning") == [("pfs_longer_than_os", "os", 3)]
    assert "\nshim: 0 errors, 1 warning.\n" in printed
    cohort = read("shim")
    assert len(cohort) == 198
    assert len(cohort.evaluable) == 193
