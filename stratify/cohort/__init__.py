"""Which patients and which features, and who is shared between cohorts."""
