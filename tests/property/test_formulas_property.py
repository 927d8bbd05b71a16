"""No text of a table of results is a formula where a spreadsheet opens it, and none is changed."""

import io

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stratify.tables.tabular import guarded, unguarded, write_table

texts = st.text(st.sampled_from("=+-@'\t\r\n ,.;01eE|!()AbĀ"), max_size=8)


@given(st.lists(texts, min_size=1, max_size=20))
def test_texts_come_back_and_none_starts_a_formula(cells):
    table = pd.DataFrame({"patient_id": cells, "risk": 0.5})
    safe = guarded(table)

    for text in safe["patient_id"]:
        assert not text.startswith(("=", "@", "\t", "\r", "\n"))
        if text.startswith(("+", "-")) and text.strip(" \t\r\n+-"):
            float(text.replace(",", "."))
    pd.testing.assert_frame_equal(unguarded(safe), table)


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ('=HYPERLINK("http://x","y")', '\'=HYPERLINK("http://x","y")'),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("\t=1", "'\t=1"),
        ("-3.5", "-3.5"),
        ("+1e-5", "+1e-5"),
        ("-", "-"),
        ("--", "--"),
        ("P-1", "P-1"),
        ("'=1", "''=1"),
        ("1=2", "1=2"),
    ],
)
def test_what_a_spreadsheet_would_calculate_gets_an_apostrophe(cell, written, tmp_path):
    table = pd.DataFrame({"patient_id": [cell, None], "n": [-1.5, float("nan")]})
    write_table(table, tmp_path / "scores.csv")

    text = (tmp_path / "scores.csv").read_bytes().decode()
    read = pd.read_csv(io.StringIO(text, newline=""), dtype={"patient_id": str})

    assert read["patient_id"].iloc[0] == written
    assert read["n"].iloc[0] == -1.5
    assert read["patient_id"].isna().tolist() == [False, True]
