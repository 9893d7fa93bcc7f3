"""Writes tests/golden/metrics.json: metrics of random logits, by scikit-learn and numpy.

    .venv/bin/python tools/metrics/make_golden.py

Made with scikit-learn 1.9.1 and numpy 2.4.6. Logits are multiples of 1/4, so that ties are common. The last label of
each multi-label case is never on, the one before it never predicted; those of the last single-label case are neither.
"""

import json

import numpy as np
from sklearn import metrics


def auc_or_none(targets, scores):
    return float(metrics.roc_auc_score(targets, scores)) if 0 < targets.sum() < len(targets) else None


def case(rng, problem, num_texts, num_labels, num_absent=0):
    def random_logits():
        return np.round(rng.normal(0, 1.5, (num_texts, num_labels)) * 4) / 4

    logits = random_logits()
    logits[:, num_labels - num_absent:] = -20
    candidate = logits + np.round(rng.normal(0, 0.5, logits.shape) * 8) / 8
    if problem == "multi":
        logits[:, -2] = -1
        targets = (logits + random_logits() > 0).astype(int)
        targets[:, -1] = 0
        decide = lambda x: (x > 0).astype(int)  # noqa: E731
        probabilities = 1 / (1 + np.exp(-logits))
        changed = int((decide(logits) != decide(candidate)).sum())
        total = logits.size
    else:
        eye = np.eye(num_labels, dtype=int)
        targets = eye[(logits + random_logits()).argmax(1)]
        decide = lambda x: eye[x.argmax(1)]  # noqa: E731
        probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        changed = int((logits.argmax(1) != candidate.argmax(1)).sum())
        total = num_texts
    # Rounded, so that texts of mathematically equal probabilities tie.
    log_odds = np.round(np.log(probabilities / (1 - probabilities)), 9)
    decisions = decide(logits)
    # As a user would pass them: one label a text as its index, which leaves out absent labels of the mean.
    truth, guesses = (targets, decisions) if problem == "multi" else (targets.argmax(1), decisions.argmax(1))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(targets, decisions, zero_division=0)
    aucs = [auc_or_none(targets[:, k], log_odds[:, k]) for k in range(num_labels)]
    defined = [auc for auc in aucs if auc is not None]
    return {
        "problem": problem,
        "num_labels": num_labels,
        "logits": logits.ravel().tolist(),
        "candidate": candidate.ravel().tolist(),
        "targets": targets.ravel().tolist(),
        "decisions": decisions.ravel().tolist(),
        "probabilities": probabilities.ravel().tolist(),
        "accuracy": float(metrics.accuracy_score(truth, guesses)),
        "micro_f1": float(metrics.f1_score(truth, guesses, average="micro", zero_division=0)),
        "macro_f1": float(metrics.f1_score(truth, guesses, average="macro", zero_division=0)),
        "macro_roc_auc": float(np.mean(defined)) if defined else None,
        "precision": precision.tolist(),
        "recall": recall.tolist(),
        "f1": f1.tolist(),
        "support": support.tolist(),
        "roc_auc": aucs,
        "predictions_total": total,
        "predictions_changed": changed,
        "texts_changed": int((decide(logits) != decide(candidate)).any(1).sum()),
        "mean_abs_difference": float(np.abs(candidate - logits).mean()),
        "max_abs_difference": float(np.abs(candidate - logits).max()),
    }


def main():
    rng = np.random.default_rng(1)
    shapes = [("single", 2), ("single", 4), ("multi", 3), ("multi", 6)]
    golden = {"cases": [case(rng, problem, 40, num_labels) for problem, num_labels in shapes]}
    golden["cases"].append(case(np.random.default_rng(2), "single", 40, 5, num_absent=2))
    latencies = rng.gamma(2, 3, 37)
    golden["latency"] = {
        "milliseconds": latencies.tolist(),
        "mean": float(latencies.mean()),
        "std": float(latencies.std()),
        "p50": float(np.percentile(latencies, 50)),
        "p95": float(np.percentile(latencies, 95)),
        "p99": float(np.percentile(latencies, 99)),
    }
    with open("tests/golden/metrics.json", "w", encoding="utf-8") as file:
        file.write(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
