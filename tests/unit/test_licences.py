"""What a user installs with the package has a licence that the package may be used with."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement


def installed_with(name: str) -> dict[str, str]:
    """Licence texts of a package and of all that it requires without extras."""
    found: dict[str, str] = {}
    waiting = [(name, frozenset[str]())]
    while waiting:
        name, extras = waiting.pop()
        try:
            package = distribution(name)
        except PackageNotFoundError:
            continue
        about = package.metadata
        found[name] = " ".join(
            [
                *(about.get_all("License-Expression") or []),
                *(line.split("\n")[0] for line in about.get_all("License") or []),
                *(c for c in about.get_all("Classifier") or [] if c.startswith("License")),
            ]
        )
        for text in package.requires or []:
            needed = Requirement(text)
            wanted = [{"extra": extra} for extra in extras] or [{"extra": ""}]
            if needed.marker is None or any(needed.marker.evaluate(each) for each in wanted):
                step = (needed.name.lower(), frozenset(needed.extras))
                if needed.name.lower() not in found:
                    waiting.append(step)
    return found


def test_nothing_that_a_user_installs_is_under_the_gpl():
    licences = installed_with("stratify-immuno")
    assert {"lightgbm", "pandas", "scikit-learn", "shap", "mlflow"} <= set(licences)
    gpl = {name: text for name, text in licences.items() if "GPL" in text.replace("LGPL", "lesser")}
    assert gpl == {}
