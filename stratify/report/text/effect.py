"""Words of the report of a treatment-effect analysis."""

from __future__ import annotations

from typing import Any

__all__ = ["EFFECT"]

EFFECT: dict[str, Any] = {
    "kind": "Treatment effect",
    "evidence_more": "Nothing here is class C2 (predictive): a rule that chooses a treatment "
    "needs a prospective trial.",
    "sections": {
        "answer": "Answer",
        "question": "What is compared",
        "design": "Can the arms be compared?",
        "effect": "Average effect",
        "score": "Does the score tell who gains?",
        "heterogeneity": "Does the effect differ between patients?",
        "rules": "Rules and their value",
        "harm": "Harm beside benefit",
        "data": "Patients and findings",
        "provenance": "Settings and hashes",
    },
    "no_harm": "No grade 3 or worse events are recorded (grade3_treatment_related, "
    "grade3_immune_related, grade3_all_cause): benefit stands here without harm.",
    "no_score": "No score was tested.",
    "rule_heading": "The rule learned on all patients",
    "rule_more": "Learned on the patients it would be judged on, so not judged itself: the value "
    "below is that of rules learned the same way without the patients they are applied to.",
    "intervals": "95 % intervals. Times are restricted means: months without the event within the "
    "horizon.",
    "captions": {
        "sizes": "Patients by arm",
        "checks": "Checks of the design",
        "effects": "Effect of {alternative} against {reference}",
        "interaction": "Change of the effect for one standard deviation more of the score",
        "score_by_arm": "Order of the times by the score in each arm (C-index; 0.5 is none)",
        "heterogeneity": "Effects predicted by models that never saw the patient (in turn)",
        "control": "The same analysis with the treatment permuted, where there is nothing to find",
        "unrecorded": "Risk ratio that a confounder nobody recorded would need with treatment and "
        "outcome to explain the effect (E-value)",
        "benefit": "Observed effect by fifths of the predicted one (DR-learner)",
        "values": "Outcome if all patients were treated by the rule",
        "differences": "Differences between rules on the same patients (first minus second)",
        "harms": "Patients with a grade 3 or worse event",
        "trade_off": "Benefit minus weighted harm",
        "attrition": "Patients",
    },
    "questions": {
        "alternative": "Alternative",
        "reference": "Reference",
        "assignment": "Assignment",
        "outcomes": "Outcomes, the first primary",
        "between": "What happens in between",
        "covariates": "Covariates",
        "score": "Score",
    },
    "empty": "empty",
    "empty_cell": "empty cell",
    "none": "none",
    "policy": "as allocated, whatever came after (treatment policy); death is an event",
    "within": "{outcome} within {months:g} months",
    "units": {"share": "\u00a0points", "months": "\u00a0months"},
    "figures": {
        "titles": {
            "balance": "Balance of the arms, {title}",
            "survival": "{outcome}, {title} (n = {n})",
            "by_score": "Effect on {outcome} along the score",
            "targeting": "Targeting, {outcome}",
            "benefit": "Predicted and observed effect",
            "values": "Value of the rules (n = {n}, judged in turn)",
            "trade_off": "Benefit against harm",
        },
        "balance": "Dots outside the grey band differ between the arms by a tenth of a standard "
        "deviation or more.",
        "survival": "Kaplan and Meier, 95 % bands. By arm as allocated.",
        "by_score": "Windows of 30 % of the patients that overlap; each interval is of its window.",
        "targeting": "Above 0 where those ranked first gain more than the average patient.",
        "benefit": "On the dotted line where predictions are right.",
        "values": "Share of patients who get {alternative} on the right.",
        "trade_off": "Below 0 the harm outweighs the benefit at that weight. No weight is a "
        "standard.",
    },
    "columns": {
        "arm": "Arm", "n": "n", "check": "Check", "found": "Found", "expected": "Expected",
        "passed": "Passed", "outcome": "Outcome", "estimator": "Estimator", "estimate": "Estimate",
        "score": "Score", "scale": "Scale", "p": "p", "n_events": "Events", "learner": "Learner",
        "slope_text": "Slope on predictions (1 right, 0 none)", "autoc": "AUTOC", "qini": "Qini",
        "permutation": "Permutation",
        "gain_text": "Learned rule minus the better treatment for all",
        "better": "Better than both",
        "e_value": "The effect",
        "e_value_limit": "Its interval",
        "fifth": "Fifth", "predicted": "Predicted", "rule": "Rule", "against": "Against",
        "share": "Treated with the alternative", "patients": "Patients", "kind": "Kind",
        "events": "With event",
        "weight": "Weight", "flip_text": "Flips at", "step": "Step", "reason": "Reason",
    },
    "since": {"randomised": "randomisation", "observed": "the first dose"},
    "estimators": {
        "doubly_robust": "doubly robust, difference",
        "unadjusted": "as observed, difference",
        "hazard_ratio": "hazard ratio (below 1 is better)",
        "difference": "difference",
        "ratio_of_hazard_ratios": "ratio of hazard ratios",
    },
}  # fmt: skip
