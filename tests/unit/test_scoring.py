"""The bundle on disk and a cohort scored with it."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stratify.cohort.reading import Cohort
from stratify.errors import ArgumentError, BundleError, DataError, FileError
from stratify.model.encoding import rounded_out
from stratify.references import references as known_references
from stratify.scoring import ResistanceModel, load
from stratify.study.policy import Policy
from stratify.tables.findings import Findings
from stratify.tables.schema import field_named, load_schema, patient_panels

MIXED = (
    "The model was trained on mixed regimens; it states no risk under monotherapy and gives no "
    "recommendation."
)
REMEDY = "Restore the bundle from its source, or train again."


@pytest.fixture
def bundle(model: ResistanceModel, tmp_path: Path) -> Path:
    path = tmp_path / "bundle"
    model.save(path)
    return path


@pytest.fixture(scope="module")
def scores(model: ResistanceModel, patients: pd.DataFrame) -> pd.DataFrame:
    return model.score_cohort(patients)


def same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(
        found.reset_index(drop=True), expected.reset_index(drop=True), check_exact=True
    )


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


# ------------------------------------------------------------------- there and back


def test_a_loaded_bundle_scores_the_same_to_the_last_bit(bundle, model, patients, scores):
    again = load(bundle)
    same(again.score_cohort(patients), scores)
    assert again.version == model.version
    assert re.fullmatch(r"example-[0-9a-f]{8}", model.version)
    assert again.policy == model.policy
    assert again.card == model.card
    assert again.classifier.get_params() | {"anchor": None} == (
        model.classifier.get_params() | {"anchor": None}
    )


def test_a_policy_with_utilities_and_a_dated_label_survives_the_bundle(model, tmp_path):
    stated = {
        "name": "board",
        "version": "1",
        "source": "invented",
        "label": {"jurisdiction": "eu", "on": "2026-11-23"},
        "utilities": {
            "weights": [0.1, 0.3],
            "relative_risk": {"value": 0.7, "low": 0.6, "high": 1.1, "source": "invented"},
            "harms": [{"kind": "all_cause", "monotherapy": 0.2, "combination": 0.6,
                       "source": "invented"}],
        },
    }  # fmt: skip
    policy = Policy.load(stated)
    replace(model, policy=policy, version="").save(tmp_path / "bundle")
    assert load(tmp_path / "bundle").policy == policy


def test_references_and_contributions_survive_the_bundle_too(bundle, model, patients):
    again = load(bundle)
    assert again.references == model.references
    for name in known_references():
        risk = model.references.risk(name, patients)
        assert again.references.risk(name, patients).tobytes() == risk.tobytes()
    for found, expected in zip(
        again.classifier.contributions(patients),
        model.classifier.contributions(patients),
        strict=True,
    ):
        assert np.array_equal(found, expected)


def test_a_bundle_saved_again_is_the_same_to_the_last_byte(bundle, tmp_path):
    load(bundle).save(tmp_path / "again")
    assert files_of(tmp_path / "again") == files_of(bundle)


def test_a_model_without_a_policy_has_none_after_loading(model, tmp_path):
    other = replace(model, policy=None, version="")
    other.save(tmp_path / "bundle")
    again = load(tmp_path / "bundle")
    assert again.policy is None
    assert not (tmp_path / "bundle" / "policy.json").exists()
    assert again.version == other.version != model.version


@pytest.mark.parametrize("part", ["card", "policy"])
def test_another_card_or_policy_is_another_version(model, part):
    changed = {
        "card": {"card": {**model.card, "endpoint_rule": "another"}},
        "policy": {"policy": model.policy.model_copy(update={"version": "3"})},
    }[part]
    assert replace(model, **changed, version="").version != model.version


def test_the_number_of_threads_is_no_part_of_the_bundle(model, bundle, tmp_path):
    threads = model.classifier.n_jobs
    try:
        model.classifier.n_jobs = 2
        model.save(tmp_path / "two threads")
    finally:
        model.classifier.n_jobs = threads
    assert files_of(tmp_path / "two threads") == files_of(bundle)


def test_a_bundle_is_text_and_json_and_nothing_else(bundle):
    assert sorted(files_of(bundle)) == [
        "card.json",
        "classifier.json",
        "inputs.json",
        "manifest.json",
        "members/000.txt",
        "members/001.txt",
        "members/002.txt",
        "policy.json",
        "references.json",
        "uncertainty.json",
    ]
    for name, content in files_of(bundle).items():
        text = content.decode("utf-8")
        assert text.startswith("{" if name.endswith(".json") else "tree\n")
        assert "\r" not in text
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["sha256"] == {
        name: hashlib.sha256(content).hexdigest()
        for name, content in files_of(bundle).items()
        if name != "manifest.json"
    }


# ------------------------------------------------------------------- what a bundle must not hold


def test_extremes_of_the_training_patients_are_not_in_the_bundle(bundle, model, patients):
    """Extremes of three digits or more: shorter ones may be counts that stand there by chance."""
    texts = {name: content.decode() for name, content in files_of(bundle).items()}
    del texts["manifest.json"]
    written = {
        float(token)
        for text in texts.values()
        for token in re.findall(r"-?\d+\.?\d*(?:e[-+]?\d+)?", text)
    }
    looked_for = 0
    for name, (least, most) in model.classifier.ranges_.items():
        for value, rounded in zip(patients[name].agg(["min", "max"]), (least, most), strict=True):
            if value != rounded and len(f"{value:.12g}".replace(".", "").strip("-0")) > 2:
                looked_for += 1
                assert value not in written, name
    assert looked_for >= 5
    for name, text in texts.items():
        if name.startswith("members/"):
            assert set(re.findall(r"^feature_infos=(.*)$", text, flags=re.MULTILINE)) == {
                " ".join(["none"] * len(model.classifier.features_))
            }


def test_no_patient_and_no_site_is_named_in_the_bundle(bundle, patients):
    text = "\n".join(content.decode() for content in files_of(bundle).values())
    words = set(re.findall(r"\w+", text))
    assert not words & {*patients["patient_id"], *patients["site"]}


numbers = st.one_of(
    st.just(0.0),
    st.floats(-1e9, 1e9).map(lambda x: round(x, 6)),
    st.floats(-1e-3, 1e-3).map(lambda x: round(x, 9)),  # allele fractions
    st.integers(-(10**9), 10**9).map(float),
)


@settings(deadline=None, max_examples=300, derandomize=True, database=None)
@given(st.lists(numbers, min_size=1, max_size=20))
def test_ranges_are_rounded_outwards_to_one_digit(values):
    low, high = rounded_out(min(values), max(values))
    assert all(low <= value <= high for value in values)
    for bound, value in ((low, min(values)), (high, max(values))):
        assert abs(bound - value) <= abs(value) + 1e-12
        digits = f"{bound:.12e}".partition("e")[0].replace("-", "").replace(".", "")
        assert digits.rstrip("0")[1:] == ""


# ------------------------------------------------------------------- altered bundles


def mend_manifest(bundle: Path, name: str) -> None:
    """Write a file's present hash into the manifest, as someone who alters it on purpose."""
    change_manifest(bundle, lambda m: m["sha256"].update({name: _sha(bundle / name)}))


def _sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def change_manifest(bundle: Path, change: Callable[[dict], object]) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    change(manifest)
    (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def alter_byte(bundle: Path) -> None:
    content = bytearray((bundle / "members" / "001.txt").read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / "members" / "001.txt").write_bytes(content)


def lose_and_add(bundle: Path) -> None:
    (bundle / "members" / "002.txt").unlink()
    (bundle / "notes.txt").write_text("seen", encoding="utf-8")
    (bundle / "card.json").write_text("{}", encoding="utf-8")


def lose_the_card(bundle: Path) -> None:
    (bundle / "card.json").unlink()
    change_manifest(bundle, lambda m: m["sha256"].pop("card.json"))


def other_schema(bundle: Path, panel: str, version: str) -> None:
    card = json.loads((bundle / "card.json").read_text(encoding="utf-8"))
    card["schema_versions"][panel] = version
    (bundle / "card.json").write_text(json.dumps(card), encoding="utf-8")
    mend_manifest(bundle, "card.json")


def escape(bundle: Path) -> None:
    (bundle.parent / "outside.txt").write_text("tree\n", encoding="utf-8")
    digest = _sha(bundle.parent / "outside.txt")
    change_manifest(bundle, lambda m: m["sha256"].update({"../outside.txt": digest}))


def cut_member(bundle: Path) -> None:
    member = bundle / "members" / "001.txt"
    text = member.read_text(encoding="utf-8")
    member.write_text(text[: len(text) // 2], encoding="utf-8")
    mend_manifest(bundle, "members/001.txt")


def no_member(bundle: Path) -> None:
    (bundle / "members" / "001.txt").write_text("a letter\n", encoding="utf-8")
    mend_manifest(bundle, "members/001.txt")


DAMAGED = (
    "holds a damaged model (members/001.txt); LightGBM's text is expected. Restore the bundle "
    "from its source, or train again."
)
ALTERED = {
    "half a model under a true sum": (cut_member, DAMAGED),
    "a letter under a true sum": (no_member, DAMAGED),
    "a byte": (alter_byte, f"is not as it was written (altered: members/001.txt). {REMEDY}"),
    "a missing member": (
        lambda b: (b / "members" / "000.txt").unlink(),
        f"is not as it was written (missing: members/000.txt). {REMEDY}",
    ),
    "a foreign file": (
        lambda b: (b / "members" / "003.txt").write_text("tree\n", encoding="utf-8"),
        f"is not as it was written (foreign: members/003.txt). {REMEDY}",
    ),
    "everything at once": (
        lose_and_add,
        "is not as it was written (altered: card.json; missing: members/002.txt; foreign: "
        f"notes.txt). {REMEDY}",
    ),
    "many foreign files": (
        lambda b: [(b / f"{k}.txt").write_text("", encoding="utf-8") for k in range(7)],
        "is not as it was written (foreign: 0.txt, 1.txt, 2.txt, 3.txt, 4.txt ...). " + REMEDY,
    ),
    "an altered sum": (
        lambda b: change_manifest(b, lambda m: m["sha256"].update({"card.json": "0" * 64})),
        f"is not as it was written (altered: card.json). {REMEDY}",
    ),
    "no card, by the manifest": (
        lose_the_card,
        f"is not as it was written (missing: card.json). {REMEDY}",
    ),
    "a file outside": (
        escape,
        f"is not as it was written (missing: ../outside.txt). {REMEDY}",
    ),
    "no manifest": (
        lambda b: (b / "manifest.json").unlink(),
        "is no stratify bundle: it has no manifest.json.",
    ),
    "a manifest that is no JSON": (
        lambda b: (b / "manifest.json").write_text("{", encoding="utf-8"),
        "is no stratify bundle: its manifest.json is unreadable.",
    ),
    "a manifest of bytes": (
        lambda b: (b / "manifest.json").write_bytes(b"\xff\xfe"),
        "is no stratify bundle: its manifest.json is unreadable.",
    ),
    "a manifest without sums": (
        lambda b: change_manifest(b, lambda m: m.pop("sha256")),
        "is no stratify bundle: its manifest.json is unreadable.",
    ),
    "a manifest with a list of files": (
        lambda b: change_manifest(b, lambda m: m.update(sha256=list(m["sha256"]))),
        "is no stratify bundle: its manifest.json is unreadable.",
    ),
    "another format": (
        lambda b: change_manifest(b, lambda m: m.update(format="other-bundle")),
        "is no stratify bundle: its manifest names another format.",
    ),
    "another major format": (
        lambda b: change_manifest(b, lambda m: m.update(format_version="2.0")),
        "has bundle format 2.0; this version of stratify reads 1.1. Train again or use the "
        "matching version.",
    ),
    "another major dictionary": (
        lambda b: other_schema(b, "tmb", "2.0.0"),
        "was trained with data dictionaries of another major version: tmb 2.0.0 (here 1.2.0). "
        "Train again, or use the matching version of stratify.",
    ),
    "an unknown dictionary": (
        lambda b: other_schema(b, "imaging", "1.2.0"),
        "was trained with data dictionaries of another major version: imaging 1.2.0 (here "
        "absent). Train again, or use the matching version of stratify.",
    ),
}


def rewrite(name: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    """Alter a file on purpose, under its true sum."""

    def alter(bundle: Path) -> None:
        before = (bundle / name).read_text(encoding="utf-8")
        after = change(before)
        assert after != before
        (bundle / name).write_text(after, encoding="utf-8", newline="\n")
        mend_manifest(bundle, name)

    return alter


def in_first_tree(field: str, change: Callable[[list[str]], list[str]]) -> Callable[[str], str]:
    """Alter the numbers of a field of the first tree that has splits; its size stays true."""

    def alter(text: str) -> str:
        head, *trees = re.split(r"(?=^Tree=)", text, flags=re.MULTILINE)
        k = next(k for k, tree in enumerate(trees) if "num_leaves=1\n" not in tree)
        old = trees[k]
        line = re.search(rf"^{field}=(.*)$", old, re.MULTILINE)
        trees[k] = old.replace(line[0], f"{field}={' '.join(change(line[1].split()))}")
        more = len(trees[k]) - len(old)
        sizes = re.search(r"^tree_sizes=(.*)$", head, re.MULTILINE)
        numbers = sizes[1].split()
        numbers[k] = str(int(numbers[k]) + more)
        head = head.replace(sizes[0], f"tree_sizes={' '.join(numbers)}")
        return head + "".join(trees)

    return alter


def first(value: str) -> Callable[[list[str]], list[str]]:
    return lambda numbers: [value, *numbers[1:]]


TREES = {
    "a feature below 0": ("split_feature", first("-1")),
    "a feature far above": ("split_feature", first("900000")),
    "half a feature": ("split_feature", first("0.5")),
    "a child far beyond the end": ("left_child", first("99999")),
    "a leaf far beyond the end": ("right_child", first("-99999")),
    "a cycle": ("left_child", first("0")),
    "more leaves": ("num_leaves", lambda numbers: [str(int(numbers[0]) + 1)]),
    "a thousand million leaves": ("num_leaves", first("1000000000")),
    "leaves without end": ("num_leaves", first("1e300")),
    "sets of categories that are not there": ("num_cat", first("7")),
    "a leaf that is text": ("leaf_value", first("x")),
    "a leaf without end": ("leaf_value", first("inf")),
    "a leaf that is no number": ("leaf_value", first("nan")),
    "a threshold that is no number": ("threshold", first("nan")),
    "a leaf fewer": ("leaf_count", lambda numbers: numbers[1:]),
    "a gain fewer": ("split_gain", lambda numbers: numbers[1:]),
    "a weight that is text": ("leaf_weight", first("x")),
    "an unknown kind of split": ("decision_type", first("64")),
    "linear leaves": ("is_linear", first("1")),
}


@pytest.mark.parametrize("case", TREES)
def test_trees_made_to_harm_are_refused_before_lightgbm_reads_them(bundle, case, monkeypatch):
    monkeypatch.setattr("lightgbm.Booster", None)
    rewrite("members/000.txt", in_first_tree(*TREES[case]))(bundle)
    with pytest.raises(BundleError) as refusal:
        load(bundle)
    assert str(refusal.value) == f"{bundle} {DAMAGED.replace('001', '000')}"


def as_document(change: Callable[[dict], object]) -> Callable[[str], str]:
    def alter(text: str) -> str:
        document = json.loads(text)
        change(document)
        return json.dumps(document)

    return alter


DOCUMENTS = {
    "a study that is a path": (
        "card.json", as_document(lambda card: card.update(study="../../../x")),
    ),
    "a study that is a number": ("card.json", as_document(lambda card: card.update(study=7))),
    "no study": ("card.json", as_document(lambda card: card.pop("study"))),
    "a card that is a list": ("card.json", lambda text: "[]"),
    "patients below 0": ("card.json", as_document(lambda card: card.update(n=-1))),
    "one limit of the risk groups": (
        "card.json", as_document(lambda card: card.update(risk_group_cuts=[0.5])),
    ),
    "no JSON": ("classifier.json", lambda text: text[:-5]),
    "brackets without end": ("classifier.json", lambda text: "[" * 200_000),
    "a number that is none": (
        "classifier.json", as_document(lambda fitted: fitted.update(base_value=float("nan"))),
    ),
    "text for a number": (
        "classifier.json", as_document(lambda fitted: fitted.update(base_value="high")),
    ),
    "an unknown parameter": (
        "classifier.json", as_document(lambda fitted: fitted["parameters"].update(shell="rm")),
    ),
    "a column that is not there": (
        "classifier.json", as_document(lambda fitted: fitted.update(anchor_columns=[10_000])),
    ),
    "a feature twice": (
        "classifier.json",
        as_document(lambda fitted: fitted["features_"].append(fitted["features_"][0])),
    ),
    "three classes": (
        "classifier.json", as_document(lambda fitted: fitted.update(classes=[0, 1, 2])),
    ),
    "a calibration of one number": (
        "classifier.json", as_document(lambda fitted: fitted.update(calibration=[1.0])),
    ),
    "references that are a list": ("references.json", lambda text: "[1]"),
    "a policy of another kind": ("policy.json", lambda text: '{"name": 1}'),
    "an interval of another kind": ("uncertainty.json", lambda text: "{}"),
    "inputs of another kind": ("inputs.json", lambda text: '{"features": 1}'),
}  # fmt: skip


@pytest.mark.parametrize("case", DOCUMENTS)
def test_documents_made_to_harm_are_refused(bundle, case):
    name, change = DOCUMENTS[case]
    rewrite(name, change)(bundle)
    with pytest.raises(BundleError) as refusal:
        load(bundle)
    assert str(refusal.value) == (
        f"{bundle} holds a damaged {name}; JSON as stratify writes it is expected. Restore the "
        "bundle from its source, or train again."
    )
    assert refusal.value.exit_code == 12


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_file_of_the_bundle_is_refused(bundle, kind):
    odd = bundle / "odd"
    {
        "link": lambda: odd.symlink_to(bundle / "card.json"),
        "pipe": lambda: os.mkfifo(odd),
        "folder": odd.mkdir,
    }[kind]()
    with pytest.raises(BundleError) as refusal:
        load(bundle)
    assert str(refusal.value) == f"{bundle} is not as it was written (foreign: odd). {REMEDY}"


@pytest.mark.parametrize("case", ALTERED)
def test_a_bundle_that_cannot_be_trusted_is_refused(bundle, case):
    alter, message = ALTERED[case]
    alter(bundle)
    with pytest.raises(BundleError) as refusal:
        load(bundle)
    assert str(refusal.value) == f"{bundle} {message}"
    assert refusal.value.exit_code == 12


@pytest.mark.parametrize("version", ["1.0", "1.7", 1])
def test_another_minor_format_is_read(bundle, patients, scores, version):
    change_manifest(bundle, lambda m: m.update(format_version=version))
    same(load(bundle).score_cohort(patients), scores)


def test_another_minor_dictionary_is_read_under_another_version(bundle, model):
    other_schema(bundle, "tmb", "1.9.3")
    assert load(bundle).version != model.version


@pytest.mark.parametrize("made", [False, True])
def test_a_folder_that_is_not_there_is_told(tmp_path, made):
    path = tmp_path / "absent"
    if made:
        path.write_text("a file", encoding="utf-8")
    with pytest.raises(FileError) as refusal:
        load(path)
    assert str(refusal.value) == f"There is no bundle folder {path}."
    assert refusal.value.exit_code == 13


# ------------------------------------------------------------------- saving


def test_an_older_bundle_is_replaced_as_a_whole(model, bundle, tmp_path):
    (bundle / "members" / "099.txt").write_text("left over", encoding="utf-8")
    replace(model, policy=None, version="").save(bundle)
    assert load(bundle).policy is None
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_folders_above_the_bundle_are_made(model, tmp_path):
    model.save(tmp_path / "a" / "b" / "bundle")
    assert load(tmp_path / "a" / "b" / "bundle").version == model.version


@pytest.mark.parametrize(
    "content",
    [
        {"thesis.docx": "years of work"},
        {},
        {"manifest.json": '{"name": "a web page"}', "index.html": "<p>"},
        {"manifest.json": "not JSON"},
        {"manifest.json": "[]"},
    ],
)
def test_a_folder_that_is_no_bundle_is_not_replaced(model, tmp_path, content):
    path = tmp_path / "folder"
    path.mkdir()
    for name, text in content.items():
        (path / name).write_text(text, encoding="utf-8")
    with pytest.raises(FileError) as refusal:
        model.save(path)
    assert str(refusal.value) == f"{path} exists and is no bundle; choose another folder."
    assert {name: c.decode() for name, c in files_of(path).items()} == content


def test_a_file_at_the_place_is_not_replaced(model, tmp_path):
    path = tmp_path / "bundle"
    path.write_text("a file", encoding="utf-8")
    with pytest.raises(FileError) as refusal:
        model.save(path)
    assert str(refusal.value) == f"{path} exists and is no bundle; choose another folder."
    assert path.read_text(encoding="utf-8") == "a file"


def fail_at(monkeypatch: pytest.MonkeyPatch, method: str, call: int) -> None:
    """Let the given call of a method of paths find the disk full."""
    real, calls = getattr(Path, method), []

    def failing(self: Path, *arguments: object, **options: object) -> object:
        calls.append(self)
        if len(calls) == call:
            raise OSError(28, "No space left on device")
        return real(self, *arguments, **options)

    monkeypatch.setattr(Path, method, failing)


@pytest.mark.parametrize(
    ("method", "call"), [("write_text", 1), ("write_text", 4), ("replace", 1), ("replace", 2)]
)
def test_a_failing_save_leaves_the_older_bundle_and_nothing_else(
    model, bundle, tmp_path, monkeypatch, method, call
):
    before = files_of(tmp_path)
    with monkeypatch.context() as patch:
        fail_at(patch, method, call)
        with pytest.raises(FileError) as refusal:
            replace(model, policy=None, version="").save(bundle)
    message = f"The bundle {bundle} cannot be written: No space left on device."
    assert str(refusal.value) == message
    assert files_of(tmp_path) == before
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]
    assert load(bundle).version == model.version


@pytest.mark.parametrize(("method", "call"), [("write_text", 4), ("replace", 1)])
def test_a_failing_first_save_leaves_nothing(model, tmp_path, monkeypatch, method, call):
    with monkeypatch.context() as patch:
        fail_at(patch, method, call)
        with pytest.raises(FileError):
            model.save(tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------- scores


def test_the_table_follows_its_dictionary(model, patients, scores):
    fields = load_schema("scores").fields
    assert list(scores.columns) == list(fields)
    for name, field in fields.items():
        if field.type == "number":
            assert scores[name].dtype == np.float64
            assert scores[name].dropna().between(field.minimum, field.maximum).all()
        else:
            assert scores[name].map(type).eq(str).all()
        if field.enum:
            assert set(scores[name]) <= set(field.enum)
    assert scores["patient_id"].tolist() == patients["patient_id"].tolist()
    assert ((scores["risk_low"] <= scores["risk"]) & (scores["risk"] <= scores["risk_high"])).all()
    assert scores["risk"].tolist() == model.classifier.predict_proba(patients)[:, 1].tolist()
    assert set(scores["model_version"]) == {model.version}
    assert set(scores["endpoint_rule"]) == {"proxy_pfs6 1.0.0"}
    assert set(scores["evidence_class"]) == {"C1"}
    assert set(scores["recommendation"]) == {"monotherapy", "combination", "refer"}


def test_the_order_of_columns_and_further_columns_do_not_matter(model, patients, scores):
    other = patients[patients.columns[::-1]].assign(irrelevant=1.0, risk=0.5, label=np.nan)
    same(model.score_cohort(other), scores)


def test_the_order_of_rows_and_their_index_do_not_matter(model, patients, scores):
    rows = np.random.default_rng(0).permutation(len(patients))
    found = model.score_cohort(patients.iloc[rows])
    assert found.index.tolist() == rows.tolist()
    same(found, scores.iloc[rows])
    twice = model.score_cohort(pd.concat([patients.head(9), patients.head(9)]))
    same(twice, pd.concat([scores.head(9), scores.head(9)]))
    same(model.score_cohort(patients.tail(1)), scores.tail(1))


def test_scoring_leaves_the_table_as_it_is(model, patients):
    before = patients.copy(deep=True)
    model.score_cohort(patients)
    pd.testing.assert_frame_equal(patients, before)


def test_nobody_to_score_gives_an_empty_table(model, patients):
    nobody = model.score_cohort(patients.iloc[:0])
    assert list(nobody.columns) == list(load_schema("scores").fields)
    assert len(nobody) == 0


@pytest.mark.parametrize("panel", ["tmb", "infiltration", "ctdna"])
def test_a_panel_that_the_table_does_not_have_counts_as_missing(model, patients, panel):
    names = [n for n in model.classifier.features_ if field_named(n).panel == panel]
    absent = model.score_cohort(patients.drop(columns=names))
    same(absent, model.score_cohort(patients.assign(**dict.fromkeys(names, np.nan))))
    assert absent["panels_missing"].str.split(";").map(lambda told: panel in told).all()
    assert absent["risk"].notna().all()
    assert not absent["flags"].str.contains("no_panel_measured").any()


def test_missing_panels_are_named_in_the_order_of_the_dictionaries(model, patients, scores):
    panels = [p for p in patient_panels() if p not in ("comparators", "outcomes")]
    missing = pd.DataFrame(
        {
            panel: patients[
                [n for n in model.classifier.features_ if field_named(n).panel == panel]
            ]
            .isna()
            .all(axis=1)
            for panel in panels
        }
    )
    expected = [";".join(missing.columns[row]) for row in missing.to_numpy()]
    assert scores["panels_missing"].tolist() == expected
    assert {"", "tmb", "tmb;infiltration"} <= set(expected)


def test_without_any_panel_everybody_has_one_risk_and_a_flag(model, patients):
    scores = model.score_cohort(patients[["patient_id", "cohort"]])
    assert set(scores["flags"]) == {"research_use_only;no_panel_measured"}
    assert set(scores["panels_missing"]) == {"clinical;pdl1;tmb;infiltration;ctdna"}
    assert len(set(scores["risk"])) == 1
    assert scores["risk"].iloc[0] == pytest.approx(patients["label"].mean(), abs=0.15)
    assert set(scores["reason"]) == {"Required markers are missing: pdl1_tps (policy example 2)."}


@pytest.mark.parametrize(
    ("offset", "group"),
    [(-1e-9, "low"), (0.0, "intermediate"), (1e-9, "intermediate")],
)
def test_a_risk_on_the_first_cut_is_intermediate(model, offset, group):
    first, second = model.card["risk_group_cuts"]
    assert model.risk_groups(np.array([first + offset])).tolist() == [group]
    above = {"low": "intermediate", "intermediate": "high"}[group]
    assert model.risk_groups(np.array([second + offset])).tolist() == [above]


def test_risk_groups_are_thirds_of_the_out_of_fold_risks(model, scores):
    groups = pd.Series(model.risk_groups(model.classifier.oof_risk_)).value_counts()
    assert groups.to_dict() == {"low": 80, "intermediate": 80, "high": 80}
    assert scores["risk_group"].tolist() == model.risk_groups(scores["risk"].to_numpy()).tolist()


# ------------------------------------------------------------------- flags


def flags(model: ResistanceModel, table: pd.DataFrame | Cohort) -> dict[str, list[int]]:
    """Rows by flag."""
    told = model.score_cohort(table)["flags"].str.split(";")
    rows: dict[str, list[int]] = {}
    for row, names in enumerate(told):
        for name in names:
            rows.setdefault(name, []).append(row)
    return rows


def planted(patients: pd.DataFrame, column: str, row: int, value: object) -> pd.DataFrame:
    table = patients.copy()
    table.loc[row, column] = value
    return table


def test_training_patients_have_no_flag_but_research_use(model, patients, scores):
    assert set(scores["flags"]) == {"research_use_only"}
    assert flags(model, patients) == {"research_use_only": list(range(240))}


@pytest.mark.parametrize(
    ("column", "value", "flag"),
    [
        ("age", 19.0, "outside_training_range"),
        ("ecog", 4.0, "outside_training_range"),
        ("cancer_type", "mesothelioma", "unseen_category"),
        ("regimen", "ici_chemotherapy", "not_monotherapy"),
        ("regimen", "chemotherapy", "not_monotherapy"),
    ],
)
def test_one_patient_to_be_cautious_with_is_flagged_alone(model, patients, column, value, flag):
    found = flags(model, planted(patients, column, 17, value))
    assert found.pop("research_use_only") == list(range(240))
    assert found == {flag: [17]}
    assert flag in load_schema_flags()


def load_schema_flags() -> set[str]:
    text = (Path(__file__).parents[2] / "data_schemas/results/scores.yaml").read_text("utf-8")
    return set(re.findall(r"^  (\w+):", text.partition("\nflags:")[2], flags=re.MULTILINE))


@pytest.mark.parametrize("regimen", ["anti_pd1_pdl1", "single_agent_ici", None])
def test_one_ici_or_an_unknown_regimen_is_not_flagged(model, patients, regimen):
    assert list(flags(model, planted(patients, "regimen", 17, regimen))) == ["research_use_only"]
    assert list(flags(model, patients.drop(columns="regimen"))) == ["research_use_only"]


def test_an_unseen_level_is_scored_as_a_missing_one(model, patients):
    unseen = model.score_cohort(planted(patients, "cancer_type", 17, "mesothelioma"))
    missing = model.score_cohort(planted(patients, "cancer_type", 17, np.nan))
    same(unseen.drop(columns="flags"), missing.drop(columns="flags"))


def cohort_of(table: pd.DataFrame, assays: dict[str, dict[str, str]]) -> Cohort:
    return Cohort(table, pd.DataFrame(), Findings(), assays, {}, None, False)


@pytest.mark.parametrize(
    ("assays", "column"),
    [
        ({"tmb": {"home": "panel Y"}}, "tmb"),
        ({"tmb": {"home": "panel X"}, "pdl1_tps": {"home": "SP142"}}, "pdl1_tps"),
        ({"tmb": {"home": "panel X", "elsewhere": "panel Y"}}, None),
        ({"ctdna_max_vaf": {"home": "plasma Z"}}, None),  # training did not state an assay
        ({"hed": {"home": "other"}}, None),  # no feature of the model
    ],
)
def test_another_assay_than_in_training_is_flagged_where_it_measured(
    model, patients, assays, column
):
    found = flags(model, cohort_of(patients, assays))
    del found["research_use_only"]
    expected = {} if column is None else {
        "assay_differs": np.flatnonzero(patients[column].notna()).tolist()
    }  # fmt: skip
    assert found == expected


def test_the_assay_is_compared_by_cohort(model, patients):
    table = patients.assign(cohort=np.where(patients.index < 120, "home", "abroad"))
    assays = {"tmb": {"home": "panel X", "abroad": "panel Y"}}
    measured = np.flatnonzero(table["tmb"].notna() & (table["cohort"] == "abroad"))
    assert flags(model, cohort_of(table, assays))["assay_differs"] == measured.tolist()


def test_a_model_of_mixed_regimens_flags_everybody_and_recommends_nothing(model, patients, scores):
    mixed = replace(model, card={**model.card, "mixed_regimens": True}, version="")
    found = mixed.score_cohort(patients)
    assert set(found["flags"]) == {"research_use_only;mixed_regimens"}
    assert found["recommendation"].isna().all()
    assert set(found["reason"]) == {MIXED}
    assert found["risk"].tolist() == scores["risk"].tolist()


def test_all_flags_of_a_patient_stand_in_a_fixed_order(model, patients):
    table = planted(patients, "regimen", 5, "ici_ici")
    table.loc[5, ["cancer_type", "age"]] = ["mesothelioma", 119.0]
    mixed = replace(model, card={**model.card, "mixed_regimens": True}, version="")
    scored = mixed.score_cohort(cohort_of(table, {"pdl1_tps": {"home": "SP142"}}))
    assert pd.notna(patients.loc[5, "pdl1_tps"])
    assert scored.loc[5, "flags"] == (
        "research_use_only;mixed_regimens;not_monotherapy;unseen_category;outside_training_range;"
        "assay_differs"
    )
    assert set(scored.loc[5, "flags"].split(";")) <= load_schema_flags()


def test_a_required_marker_that_is_no_feature_of_the_model_is_found_in_the_table(model, patients):
    assert "hemoglobin" not in model.classifier.features_
    asks = model.policy.model_copy(update={"required_markers": ["hemoglobin"]})
    scored = replace(model, policy=asks, version="").score_cohort(patients)
    lacking = scored["reason"] == "Required markers are missing: hemoglobin (policy example 2)."
    assert lacking.tolist() == patients["hemoglobin"].isna().tolist()


# ------------------------------------------------------------------- one patient


def test_one_patient_is_scored_as_in_a_table(model, patients):
    some = patients.head(40)
    table = model.score_table(some, top=3)
    for i in range(len(some)):
        row = some.iloc[[i]]
        expected = table.iloc[i]
        found = model.score_patient(row, top=3)
        assert found == model.score_patient(row.iloc[0].to_dict(), top=3)
        for name in ("risk", "risk_low", "risk_high"):
            assert found[name] == expected[name]
        for name in ("risk_group", "panels_missing", "flags", "model_version"):
            assert found[name] == expected[name]
        told = [(expected[f"reason_{k}"], expected[f"reason_{k}_shap"]) for k in (1, 2, 3)]
        assert found["reasons"] == told


def test_a_score_does_not_depend_on_the_other_patients(model, patients):
    together = model.score_table(patients, top=2)
    for start in (0, 3, 50):
        part = model.score_table(patients.iloc[start : start + 20], top=2)
        same(part, together.iloc[start : start + 20])


@pytest.mark.parametrize(
    ("patient", "message"),
    [
        (pd.DataFrame({"tmb": [1.0, 2.0]}), "patient has 2 rows; one is expected."),
        (
            {"tmb": "high"},
            "Values cannot be scored. tmb: values of 1 of 1 patients are no finite numbers.",
        ),
        (
            {"tmb": float("inf")},
            "Values cannot be scored. tmb: values of 1 of 1 patients are no finite numbers.",
        ),
        (
            {"tmb": 9.0, "cancer_type": "lungs", "ecog": 1.5, "albumin": -3.0},
            "Values cannot be scored. cancer_type: values of 1 of 1 patients are not known; levels "
            f"are {', '.join(field_named('cancer_type').enum)}. ecog: values of 1 of 1 patients "
            "are fractions where whole numbers are expected. albumin: values of 1 of 1 patients "
            "lie outside the possible 0.5 to 7 g/dL.",
        ),
    ],
)
def test_one_patient_that_cannot_be_scored(model, patient, message):
    with pytest.raises((ArgumentError, DataError)) as raised:
        model.score_patient(patient)
    assert str(raised.value) == message


def test_one_patient_without_any_feature(model):
    with pytest.raises(ArgumentError) as raised:
        model.score_patient({"shoe_size": 43})
    assert str(raised.value).startswith("patient has none of the model's inputs, which are ")


def test_one_patient_s_missing_values_are_read_as_such(model):
    nothing = [None, float("nan"), pd.NA, pd.NaT]
    found = [model.score_patient({"tmb": 9.0, "nlr": value}) for value in nothing]
    assert all(one == found[0] for one in found)
    seen = model.score_patient({"tmb": 9.0, "cancer_type": "glioma"})
    assert "unseen_category" in seen["flags"]


def test_a_number_by_far_outside_gets_a_finite_interval_and_is_referred(model, patients):
    """As MTM per mL of 300,000, where training ends at 20,000: no risk of 1, no NaN."""
    for value in (1e4, 1e9, 1e300):
        table = planted(patients, "tmb", 17, value) if value < 1e4 else patients.copy()
        table.loc[table.index[17], "nlr"] = value
        columns = model.prepare(patients).columns
        encoded = columns.encoded.copy()
        encoded[17, model.classifier.features_.index("nlr")] = value
        margins = model.classifier.ensemble_.margins(encoded)
        risk, low, high = model.classifier.interval(margins)
        assert np.isfinite(np.stack([risk, low, high])).all()
        assert (low[17] > 0) & (low[17] < risk[17]) & (risk[17] < high[17]) & (high[17] < 1)
