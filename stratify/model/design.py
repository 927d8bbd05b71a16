"""What an ensemble is trained on: patients, what their columns are, settings of the boosting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stratify.arrays import Flags, Floats
from stratify.errors import ArgumentError
from stratify.tables.schema import known_field

__all__ = ["Boosting", "Design", "MemberPatients", "TrainingSet"]


@dataclass(frozen=True)
class Boosting:
    """Settings of the boosting; names and meaning as in ``ResistanceClassifier``."""

    n_members: int
    n_estimators: int
    learning_rate: float
    num_leaves: int
    min_child_samples: int
    reg_lambda: float
    feature_fraction: float
    max_bin: int
    mask_value: float
    mask_panel: float
    masked_weight: float
    anchor_variance: float
    anchor_start: float


@dataclass(frozen=True)
class TrainingSet:
    """Training patients, in an order that does not depend on the file.

    Attributes
    ----------
    matrix : ndarray of shape (n_patients, n_features)
        Numbers and level codes, NaN for missing.
    label : ndarray of shape (n_patients,)
        1 or 0.
    graded : ndarray of shape (n_patients,)
        The label in finer grades, 0 to 1, from which the anchor learns.
    weight : ndarray of shape (n_patients,)
    """

    matrix: Floats
    label: Floats
    graded: Floats
    weight: Floats

    def __len__(self) -> int:
        return len(self.label)

    def take(self, rows: npt.NDArray[Any]) -> TrainingSet:
        """Patients at these positions, or marked True."""
        return TrainingSet(
            self.matrix[rows], self.label[rows], self.graded[rows], self.weight[rows]
        )

    def folds(self, most: int, seed: int) -> list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
        """Training and left-out positions by fold, stratified; none where a class has one."""
        from sklearn.model_selection import StratifiedKFold

        folds = min(most, int(self.label.sum()), int((1 - self.label).sum()))
        if folds < 2:
            return []
        split = StratifiedKFold(folds, shuffle=True, random_state=seed)
        return list(split.split(self.matrix, self.label))


@dataclass(frozen=True)
class Design:
    """What the columns of the matrix are.

    Attributes
    ----------
    features : list of str
    n_levels : mapping of str to int
        Number of levels of each categorical column, coded 0, 1, ...
    directions : list of int
        +1, -1 or 0 by column: monotone constraint of the trees and of the anchor.
    panels : list of ndarray of bool of shape (n_features,)
        Columns of a panel, which are masked as one.
    anchor : list of int
        Columns of the anchor; none for no anchor.
    """

    features: list[str]
    n_levels: Mapping[str, int]
    directions: list[int]
    panels: list[Flags]
    anchor: list[int]

    @classmethod
    def of(
        cls,
        levels: Mapping[str, Sequence[str]],
        features: list[str],
        *,
        monotone: str | Mapping[str, int] | None,
        panels: Mapping[str, str] | None,
        anchor: str | Sequence[str] | None,
    ) -> Design:
        """Design by the settings of ``ResistanceClassifier``, of the same names."""
        groups: dict[str, Flags] = {}
        for j, name in enumerate(features):
            field = known_field(name)
            own = name if field is None else field.panel
            panel = own if panels is None else panels.get(name, name)
            groups.setdefault(panel, np.zeros(len(features), dtype=bool))[j] = True
        if isinstance(anchor, str) and anchor != "all":
            raise ArgumentError(
                f"anchor is {anchor!r}; 'all', None or a list of features is expected."
            )
        wanted = features if anchor == "all" else anchor or ()
        return cls(
            features=features,
            n_levels={name: len(known) for name, known in levels.items()},
            directions=_directions(levels, features, monotone),
            panels=list(groups.values()),
            anchor=[j for j, name in enumerate(features) if name in wanted],
        )


def _directions(
    levels: Mapping[str, Sequence[str]],
    features: Sequence[str],
    monotone: str | Mapping[str, int] | None,
) -> list[int]:
    if monotone is None:
        directions = [0] * len(features)
    elif monotone == "schema":
        types = levels.get("cancer_type", [])
        indication = types[0] if len(types) == 1 else None
        known = [known_field(name) for name in features]
        directions = [0 if field is None else field.direction_for(indication) for field in known]
    elif isinstance(monotone, Mapping):
        directions = [int(monotone.get(name, 0)) for name in features]
    else:
        raise ArgumentError(f"monotone is {monotone!r}; 'schema', None or a mapping is expected.")
    return [0 if name in levels else d for name, d in zip(features, directions, strict=True)]


class MemberPatients(NamedTuple):
    """Training patients as the members see them.

    Attributes
    ----------
    patients : TrainingSet
        Those of weight above 0, in an order of their own.
    design : Design
    order : ndarray of int of shape (n_patients,)
        Their rows in the data given.
    n_rows : int
        Rows of the data given.
    """

    patients: TrainingSet
    design: Design
    order: npt.NDArray[np.intp]
    n_rows: int
