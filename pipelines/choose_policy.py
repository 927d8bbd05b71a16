"""What thresholds and a policy would mean in a cohort.

python pipelines/choose_policy.py BUNDLE STUDY --out DIR
STUDY holds patients the model never saw, with outcomes. Option: --policy FILE.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stratify import StratifyError
from stratify.experiment.policy_choice import choose_policy


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("bundle", type=Path)
    arguments.add_argument("study", type=Path)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--policy", type=Path)
    given = arguments.parse_args()

    found = choose_policy(given.bundle, given.study, given.out, policy=given.policy, progress=print)
    print(*found.tables["guarantees"]["statement"], sep="\n")
    print(f"Tables in {given.out}, research use only")


if __name__ == "__main__":
    try:
        main()
    except StratifyError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
