"""``python -m stratify.cli``."""

from stratify.cli import main

main()
