"""Which treatment: triage of a risk by a policy, and the effect of treatment where arms exist."""
