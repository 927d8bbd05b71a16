"""Laws of numbers: units there and back, and text that is read rightly or not at all."""

from __future__ import annotations

import math
from decimal import Decimal

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stratify.tables.findings import Findings
from stratify.tables.panel import read_panels
from stratify.tables.schema import convert, load_schema, patient_panels
from stratify.tables.sources import TableSource

UNITS = [
    (name, unit)
    for panel in patient_panels()
    for name, field in load_schema(panel).fields.items()
    for unit in field.accepted_units
]
# one rounding in each of the two multiplications and two divisions, and one more to spare
ULPS = 5 * 2.0**-53

numbers = st.floats(1e-9, 1e9)


@settings(max_examples=40, deadline=None)
@given(value=numbers)
def test_a_unit_there_and_back_is_the_same_number(value):
    for name, unit in UNITS:
        canonical = convert(value, unit, name)
        assert convert(canonical, unit, name, back=True) == pytest.approx(value, rel=ULPS, abs=0)
        written = convert(value, unit, name, back=True)
        assert convert(written, unit, name) == pytest.approx(value, rel=ULPS, abs=0)


@settings(max_examples=20, deadline=None)
@given(a=numbers, b=numbers)
def test_a_unit_keeps_order_and_zero(a, b):
    low, high = sorted((a, b))
    for name, unit in UNITS:
        assert convert(0.0, unit, name) == 0.0
        assert convert(low, unit, name) <= convert(high, unit, name)


# ------------------------------------------------------------- numbers as text

CONVENTIONS = [
    (decimal, thousands)
    for decimal in (".", ",")
    for thousands in (None, ".", ",", " ", "'")
    if thousands != decimal
]
CODES = {"decimal_comma", "grouped_digits", "not_numeric"}


def meant(text: str, decimal: str, thousands: str | None) -> float | None:
    """Read a number digit by digit, as a reference for the product's patterns."""
    digits = set("0123456789")
    body = text[1:] if text[:1] in ("+", "-") else text
    mantissa, exponent = body, ""
    for letter in "eE":
        if letter in body:
            mantissa, exponent = body.split(letter, 1)
            power = exponent[1:] if exponent[:1] in ("+", "-") else exponent
            if not power or set(power) - digits:
                return None
    whole, _, decimals = mantissa.partition(decimal)
    if set(decimals) - digits:
        return None
    if thousands and thousands in whole:
        first, *groups = whole.split(thousands)
        if exponent or not 1 <= len(first) <= 3 or first[0] == "0":
            return None
        if any(len(group) != 3 for group in groups):
            return None
        whole = first + "".join(groups)
    if set(whole) - digits or not whole + decimals:
        return None
    sign = "-" if text[:1] == "-" else ""
    return float(Decimal(f"{sign}{whole or 0}.{decimals or 0}{'E' + exponent if exponent else ''}"))


def read(texts: list[str], decimal: str, thousands: str | None) -> tuple[list[float], int]:
    """Numbers of a column, and how many cells findings count as unread."""
    raw = pd.DataFrame({"ID": [str(i) for i in range(len(texts))], "X": texts})
    mapped = TableSource.model_validate(
        {
            "file": "t.csv",
            "patient_id": "ID",
            "decimal": decimal,
            "thousands": thousands,
            "panels": {"infiltration": {"gep": "X"}},
        }
    )
    findings = Findings()
    values = read_panels(raw, mapped, "a", findings)["infiltration"]["gep"].tolist()
    unread = sum(int(str(row["n"])) for row in findings.rows if row["code"] in CODES)
    return values, unread


@st.composite
def written_numbers(draw: st.DrawFn) -> str:
    """Write a number as people do: grouped or not, with either decimal sign, or an exponent."""
    whole = str(draw(st.integers(0, 10**7)))
    group = draw(st.sampled_from(["", ",", ".", " ", "'"]))
    if group:
        whole = f"{int(whole):,}".replace(",", group)
    decimals = draw(st.sampled_from(["", "5", "0", "25", "125", "000", "0625"]))
    sign = draw(st.sampled_from([".", ","]))
    exponent = draw(st.sampled_from(["", "", "", "e2", "E-3"]))
    lead = draw(st.sampled_from(["", "-", "+"]))
    return lead + whole + (sign + decimals if decimals else "") + exponent


cells = st.one_of(written_numbers(), st.text("0123456789.,+-eE '<>%", min_size=1, max_size=9))


@pytest.mark.parametrize(
    ("decimal", "thousands"), CONVENTIONS, ids=[f"{d!r} {t!r}" for d, t in CONVENTIONS]
)
@settings(max_examples=12, deadline=None)
@given(texts=st.lists(cells, min_size=1, max_size=40))
def test_text_is_read_as_the_convention_means_it_or_counted_as_unread(texts, decimal, thousands):
    values, unread = read(texts, decimal, thousands)

    missing = 0
    for text, value in zip(texts, values, strict=True):
        # spaces around and doubled within a cell carry no meaning
        clean = " ".join(text.split())
        if clean in ("", ".", "-"):
            assert math.isnan(value)
            continue
        expected = meant(clean, decimal, thousands)
        if expected is None or math.isinf(expected):
            assert math.isnan(value)
            missing += 1
        else:
            assert value == expected
    assert unread == missing


@settings(max_examples=10, deadline=None)
@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_numbers_written_in_full_read_back_exactly(values):
    texts = [repr(value) for value in values]
    assert read(texts, ".", None) == (values, 0)
    assert read([text.replace(".", ",") for text in texts], ",", None) == (values, 0)
