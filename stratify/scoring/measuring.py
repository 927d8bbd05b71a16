"""What to measure first: where a missing marker would probably decide, the answer names it.

The missing values are drawn from what the training patients looked like, given what is measured,
and decided as a measured patient would be. Only patients whom the policy refers are asked about, so
that its errors hold as stated for those whom it decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from stratify.arrays import Strings
from stratify.errors import ArgumentError
from stratify.scoring.prepared import KEYS, Prepared
from stratify.study.policy import MeasureFirst, Policy
from stratify.treatment.triage import REFER
from stratify.uncertainty.training_distribution import TrainingDistribution

__all__ = ["Lacking", "drawn_patients", "measured_first", "require_foreseeable"]

# scores of prepared patients, or of a table of canonical columns, by a policy
Decide: TypeAlias = Callable[[Policy, Prepared | pd.DataFrame], pd.DataFrame]

MEASURE = "measure"
DRAWS = 200
AT_ONCE = 200  # patients whose draws are held at a time
LEADS = 0.05  # a result is named if so many of the draws lead to it


class Lacking(NamedTuple):
    """Features that one patient lacks and that are drawn together."""

    place: int
    stream: int  # of random numbers: the same for the same question in every patient
    features: Sequence[str]


def drawn_patients(
    known: TrainingDistribution,
    patients: Prepared,
    lacking: Iterable[Lacking],
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """Repeat patients with values drawn for what they lack.

    Returns
    -------
    DataFrame of shape (n_lacking * draws, ...)
        Canonical columns, `draws` rows for each of `lacking`, in their order.
    """
    table, matrix = patients.table, patients.matrix
    other = table.columns.difference([*matrix.columns, *KEYS])
    blocks = []
    for place, stream, features in lacking:
        repeated = table[[*KEYS, *other]].iloc[np.full(draws, place)].reset_index(drop=True)
        rng = np.random.default_rng([seed, stream])
        values = known.draw(matrix.iloc[[place]], list(features), draws, rng)
        blocks.append(pd.concat([repeated, values], axis=1))
    return pd.concat(blocks, ignore_index=True)


def require_foreseeable(policy: Policy, known: TrainingDistribution | None) -> None:
    """Refuse to ask what a marker would show of a bundle that cannot draw its values."""
    if policy.measure is not None and known is None:
        raise ArgumentError(
            f"{policy.rule} says what to measure first, and the bundle keeps no summary of its "
            "training patients to foresee it by. Train it again, or remove `measure`."
        )


def measured_first(
    patients: Prepared,
    decisions: pd.DataFrame,
    policy: Policy | None,
    known: TrainingDistribution | None,
    decide: Decide,
) -> pd.DataFrame:
    """Answer ``measure`` for referred patients whom a missing marker would probably decide.

    Parameters
    ----------
    decisions : DataFrame of shape (n_patients, ...)
        Of :func:`stratify.treatment.triage.triage` by the policy.
    known : TrainingDistribution or None
        What missing values are drawn from.
    decide : callable
        Given a policy and patients, gives their scores.

    Returns
    -------
    DataFrame of shape (n_patients, ...)
        The same, with ``measure`` and what each result would lead to; and with the decision of
        patients whose missing required marker would hardly change it, if the policy says so.
    """
    if policy is None or policy.measure is None or known is None:
        return decisions
    asked, index = policy.measure, decisions.index
    decisions = decisions.reset_index(drop=True)  # by place, as an index may repeat
    asking = _Asking(patients, policy.model_copy(update={"measure": None}), known, decide)
    if asked.required_below is not None and policy.required_markers:
        _decide_without(asking, decisions, asked.required_below)
    _name_marker(asking, decisions, asked)
    return decisions.set_axis(index)


class _Asking(NamedTuple):
    """Patients, the policy by which their draws are decided, and what draws and decides."""

    patients: Prepared
    policy: Policy
    known: TrainingDistribution
    decide: Decide

    def answers(
        self, lacking: Sequence[Lacking]
    ) -> Iterable[tuple[Lacking, Strings, pd.DataFrame]]:
        """Give what is decided for each draw, with the values drawn."""
        for start in range(0, len(lacking), AT_ONCE):
            some = lacking[start : start + AT_ONCE]
            drawn = drawn_patients(self.known, self.patients, some)
            found = self.decide(self.policy, drawn)["recommendation"].to_numpy(dtype=object)
            for k, each in enumerate(some):
                rows = slice(k * DRAWS, (k + 1) * DRAWS)
                yield each, found[rows], drawn.iloc[rows]


def _name_marker(asking: _Asking, decisions: pd.DataFrame, asked: MeasureFirst) -> None:
    """Answer ``measure`` where the best marker decides probably enough."""
    missing = asking.patients.matrix[asked.markers].isna().to_numpy()
    referred = (decisions["recommendation"] == REFER).to_numpy()
    lacking = [
        Lacking(int(place), k, [name])
        for place in np.flatnonzero(referred & missing.any(axis=1))
        for k, name in enumerate(asked.markers)
        if missing[place, k]
    ]
    best: dict[int, float] = {}
    for each, answers, values in asking.answers(lacking):
        share, name = float((answers != REFER).mean()), each.features[0]
        if share >= asked.probability and share > best.get(each.place, 0.0):
            best[each.place] = share
            reason = f"Measuring {name} would decide with a probability of {share:.2f} "
            _set(
                decisions,
                each.place,
                recommendation=MEASURE,
                reason=f"{reason}({asking.policy.rule}).",
                would_change=_leads(name, answers, values[name].to_numpy(dtype=object)),
                error_bound=np.nan,
            )


def _decide_without(asking: _Asking, decisions: pd.DataFrame, below: float) -> None:
    """Decide patients without a required marker whose value would hardly change the decision."""
    policy, patients = asking.policy, asking.patients
    required = policy.required_markers
    missing = patients.table.reindex(columns=required).isna().to_numpy()
    places = np.flatnonzero((decisions["recommendation"] == REFER).to_numpy() & missing.any(axis=1))
    free = policy.model_copy(update={"required_markers": []})
    without = asking.decide(free, patients.take(places)).to_dict("records")
    own = dict(zip(places.tolist(), without, strict=True))
    lacking = [
        Lacking(place, 0, [n for n, m in zip(required, missing[place], strict=True) if m])
        for place, row in own.items()
        if row["recommendation"] != REFER
    ]
    for each, answers, _ in asking.answers(lacking):
        row = own[each.place]
        share = float((answers != row["recommendation"]).mean())
        if share < below:
            words = f"{', '.join(each.features)} is not measured and would change this with a "
            reason = f"{row['reason']} {words}probability of {share:.2f}."
            kept = {str(name): row[name] for name in decisions}
            _set(decisions, each.place, **(kept | {"reason": reason}))


def _set(decisions: pd.DataFrame, place: int, **values: object) -> None:
    cells: Any = decisions.loc
    for column, value in values.items():
        cells[place, column] = value


def _leads(name: str, answers: Strings, values: Strings) -> str:
    """Say what each result would lead to, the most probable first.

    Examples
    --------
    >>> _leads("tmb", np.array(["monotherapy"] * 3 + ["refer"]), np.array([10.0, 12.0, 14.0, 7.0]))
    'tmb of 11 to 13 leads to monotherapy (probability 0.75), of 7 to refer (0.25).'
    """
    shares = pd.Series(answers).value_counts(normalize=True)
    said: list[str] = []
    for answer, share in shares[shares >= LEADS].items():
        own = values[answers == answer]
        first = "" if said else "probability "
        lead = "leads to " if not said else "to "
        said.append(f"of {_typical(own)} {lead}{answer} ({first}{share:.2f})")
    return f"{name} {', '.join(said)}."


def _typical(values: Strings) -> str:
    """Quartiles of numbers, or the most frequent level."""
    if isinstance(values[0], str):
        return str(pd.Series(values).value_counts().index[0])
    low, high = (f"{x:.3g}" for x in np.quantile(values.astype(float), [0.25, 0.75]))
    return low if low == high else f"{low} to {high}"
