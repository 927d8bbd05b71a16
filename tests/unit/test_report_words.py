"""The words of the reports stand in one place, so that they can be translated."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import Any

import pytest

import stratify.report
from stratify.report import text

FOLDER = Path(stratify.report.__file__).parent
# two words with a space between, one with a capital, or a part of a sentence
WORDS = re.compile(r"[A-Za-z]{2,}[^\w]* [^\w]*[A-Za-z]{2,}|^[A-Z][a-z]{2,}$| [a-z]{2,}|[a-z]{2,} ")
# what matplotlib and PNG files call something; cleared of names by themselves
NOT_WORDS = {"outside lower center", "Software"}


def literals(code: str) -> Iterator[str]:
    """Literals that are no docstring, not told in an error, and no name that is exported."""
    tree = ast.parse(code)
    left_out: set[int] = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            left_out.add(id(body[0].value))
        errors = isinstance(node, ast.Raise) or (
            isinstance(node, ast.Call) and getattr(node.func, "id", "") == "need"
        )
        exported = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        if errors or exported:
            left_out |= {id(each) for each in ast.walk(node)}
    told = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in left_out]
    yield from (n.value for n in told if isinstance(n.value, str) and WORDS.search(n.value))


@pytest.mark.parametrize("module", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_no_words_stand_in_the_code(module):
    found = set(literals(module.read_text(encoding="utf-8"))) - NOT_WORDS
    if module.stem == "evaluation_report":
        found -= {" or "}  # of an error
    assert found == set()


def test_words_in_code_would_be_found():
    code = 'def f(x):\n    """Draw it."""\n    x.set_xlabel("Months since dosing"); g("Risk")'
    assert list(literals(code)) == ["Months since dosing", "Risk"]


@pytest.mark.parametrize("template", sorted(FOLDER.glob("templates/*.j2")), ids=lambda p: p.stem)
def test_no_words_stand_in_the_templates(template):
    source = template.read_text(encoding="utf-8")
    source = re.sub(r"(?s)\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}|<!DOCTYPE html>", "", source)
    shown = re.sub(r"(?s)<[^>]*>", " ", source)
    assert re.findall(r"[A-Za-z]{2,}", shown) == []
    told = re.findall(r'(?:alt|title|aria-label)="([^"]*)"', source)
    assert "".join(told).strip(" :") == ""


def texts(words: Any) -> Iterator[str]:
    if isinstance(words, dict):
        words = list(words.values())
    if isinstance(words, (list, tuple)):
        for each in words:
            yield from texts(each)
    elif isinstance(words, str):
        yield words


@pytest.mark.parametrize("name", sorted(text.__all__))
def test_every_text_can_be_filled_in_and_is_plain(name):
    found = list(texts(getattr(text, name)))
    assert found
    for each in found:
        assert list(Formatter().parse(each)) is not None  # braces match
        assert "<" not in each.replace("< 0.001", "").replace("<=", "")
