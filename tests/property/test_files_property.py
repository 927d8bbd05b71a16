"""A whole file is its batches put together, whatever it holds and however it is cut."""

from __future__ import annotations

import csv
import gzip
import io
import tempfile
from pathlib import Path

import pandas as pd
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stratify.errors import FileError
from stratify.tables.files import TableFile, read_numbered

CELLS = st.one_of(
    st.sampled_from(["", " ", "NA", "1,5", "0.5", "a;b", 'say "x"', "two\nlines", "# no", "Größe"]),
    st.text("abc ,;\t|\"'\näß#0.5", max_size=6),
)
BLANK = [[], [" "], ["", ""]]


@st.composite
def delimited(draw):
    """Bytes of a text, how to read it, its named columns, and the rows in which something stands.

    Every cell is quoted, so that no row begins as a comment does.
    """
    n = draw(st.integers(2, 4))
    names = [draw(st.sampled_from([f"x{i}", f"Wert, {i}", f'"{i}"', f"a\n{i}"])) for i in range(n)]
    nameless = draw(st.integers(0, 2))
    rows = draw(
        st.lists(st.lists(CELLS, min_size=n, max_size=n + nameless), min_size=1, max_size=9)
    )
    sign = draw(st.sampled_from(",;\t|"))
    comment = draw(st.sampled_from([None, "#"]))
    if comment:  # a line that begins so is a comment within a quoted cell too
        rows = [[cell.replace("\n#", "\n") for cell in row] for row in rows]
    text = io.StringIO()
    write = csv.writer(text, delimiter=sign, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow
    hinted = draw(st.booleans())
    if hinted:
        text.write(f"sep={sign}\n")
    starts, held = [], []
    for i, row in enumerate([names + [""] * nameless, *rows]):
        for _ in range(draw(st.integers(0, 1))):
            text.write("# made by an export\n" if comment else "\n")
        starts.append(text.getvalue().count("\n") + 1)
        write(row)
        if i and any(cell.strip() for cell in row):
            held.append((starts[-1], row))
        if draw(st.booleans()):
            write(draw(st.sampled_from(BLANK)))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16"]))
    ends = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    content = text.getvalue().replace("\n", ends).encode(encoding)
    if draw(st.booleans()):
        content = gzip.compress(content, mtime=0)
    stated = hinted or draw(st.booleans())
    return content, {"delimiter": sign if stated else None, "comment": comment}, names, held


@settings(max_examples=100, deadline=None)
@given(delimited(), st.integers(1, 10), st.integers(0, 3))
def test_text_in_batches_is_the_whole_and_as_written(made, n_rows, first):
    content, options, names, held = made
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        path.write_bytes(content)
        try:
            whole = read_numbered(path, **options)
        except FileError:  # of rows without any cell, or where the delimiter is guessed wrongly
            assume(held and options["delimiter"] is None)
            return
        file = TableFile(path, **options)
        assert list(whole) == file.columns
        assert file.n_rows >= len(whole)
        batches = list(file.batches(n_rows))
        pd.testing.assert_frame_equal(pd.concat(batches), whole)
        assert all(n_rows <= len(b) <= 1.5 * n_rows for b in batches[:-1])
        for later, batch in zip(file.batches(n_rows, first=first), batches[first:], strict=True):
            pd.testing.assert_frame_equal(later, batch)
        some = file.columns[::2]
        for batch in file.batches(n_rows, columns=[*some, "no such column"]):
            pd.testing.assert_frame_equal(batch, whole.loc[batch.index, some])
    if options["delimiter"] is not None:
        clean = [" ".join(name.split()) for name in names]
        assert list(whole)[: len(names)] == clean
        assert whole.index.tolist() == [line for line, _ in held]
        assert whole[clean].to_numpy().tolist() == [row[: len(names)] for _, row in held]


def plain(table):
    """Rows with their place, missing as None."""
    cells = table.astype(object).where(table.notna(), None)
    return [dict(row._asdict()) for row in cells.itertuples()]


ROWS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(-5, 5)),
        st.sampled_from([None, "a", "NA", ""]),
        st.sampled_from([None, True, False]),
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=60, deadline=None)
@given(
    ROWS,
    st.integers(1, 7),
    st.integers(1, 25),
    st.integers(0, 3),
    st.sampled_from(["none", "named", "unnamed", "named range"]),
)
def test_parquet_in_batches_is_the_whole(rows, group, n_rows, first, index):
    n, (numbers, texts, flags) = len(rows), zip(*rows, strict=True)
    table = pd.DataFrame(
        {
            "number": pd.array(numbers, dtype="Int64"),
            "plain": pd.Series(numbers, dtype=float),
            "text": texts,
            "flag": pd.array(flags, dtype="boolean"),
            "level": pd.Categorical(texts),
            "day": pd.to_datetime("2024-01-01") + pd.to_timedelta(range(n), unit="D"),
        }
    )
    if index == "named range":
        table.index = pd.RangeIndex(3, 3 + 2 * n, 2, name="ID")
    elif index != "none":
        name = "ID" if index == "named" else None
        table.index = pd.Index([f"p{i}" for i in range(n)], name=name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.parquet"
        table.to_parquet(path, row_group_size=group)
        file, whole = TableFile(path), read_numbered(path)
        expected = table.reset_index() if table.index.name else table.reset_index(drop=True)
        expected.index = pd.RangeIndex(1, n + 1, name="row")
        assert plain(whole) == plain(expected)
        assert file.columns == list(whole)
        assert file.n_rows == n
        batches = list(file.batches(n_rows))
        assert [batch.index[0] - 1 for batch in batches] == file.starts(n_rows)
        assert [row for batch in batches for row in plain(batch)] == plain(whole)
        for later, batch in zip(file.batches(n_rows, first=first), batches[first:], strict=True):
            pd.testing.assert_frame_equal(later, batch)
