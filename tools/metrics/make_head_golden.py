"""Writes tests/golden/heads.json: heads fitted by scikit-learn (logistic) and numpy (least squares).

    .venv/bin/python tools/metrics/make_head_golden.py

Made with scikit-learn 1.9.1 and numpy 2.4.6. Features have means and scales of their own.
"""

import json

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

L2S = [10.0, 1.0, 0.1, 0.01]


def make_features(rng, rows, columns):
    return (rng.normal(0, 1, (rows, columns)) * rng.uniform(0.3, 2, columns) + rng.normal(0, 3, columns)).astype("f4")


def mean_variance(features):
    return features.astype("f8").var(0).mean()


def fit(features, classes, l2):
    strength = 1 / (len(features) * mean_variance(features) * l2)
    return LogisticRegression(C=strength, tol=1e-10, max_iter=100000).fit(features.astype("f8"), classes)


def logistic_case(rng, problem):
    columns, labels = 5, 3
    train, validation = np.split(make_features(rng, 100, columns), [60])
    weight = rng.normal(0, 0.4, (columns, labels))

    def noisy_targets(features):
        logits = (features - train.mean(0)) @ weight + rng.logistic(0, 1, (len(features), labels))
        return (logits > 0).astype(int) if problem == "multi" else np.eye(labels, dtype=int)[logits.argmax(1)]

    targets, validation_targets = noisy_targets(train), noisy_targets(validation)
    fits = []
    for l2 in L2S:
        if problem == "multi":
            models = [fit(train, targets[:, k], l2) for k in range(labels)]
            coefficients = np.concatenate([model.coef_ for model in models])
            intercepts = np.concatenate([model.intercept_ for model in models])
            loss = sum(
                log_loss(validation_targets[:, k], models[k].predict_proba(validation)[:, 1]) for k in range(labels)
            )
        else:
            model = fit(train, targets.argmax(1), l2)
            coefficients, intercepts = model.coef_, model.intercept_
            loss = log_loss(validation_targets.argmax(1), model.predict_proba(validation))
        fits.append(
            {"l2": l2, "weight": coefficients.ravel().tolist(), "bias": intercepts.tolist(), "validation_loss": loss}
        )
    return {
        "problem": problem,
        "num_features": columns,
        "num_labels": labels,
        "train": train.ravel().tolist(),
        "train_targets": targets.ravel().tolist(),
        "validation": validation.ravel().tolist(),
        "validation_targets": validation_targets.ravel().tolist(),
        "fits": fits,
    }


def least_squares_case(rng):
    rows, columns, labels, penalty = 50, 6, 3, 0.1
    features = make_features(rng, rows, columns)
    old_weight = rng.normal(0, 1, (labels, columns)).astype("f4")
    old_bias = rng.normal(0, 1, labels).astype("f4")
    logits = (features @ rng.normal(0, 1, (columns, labels)) + rng.normal(0, 1, (rows, labels))).astype("f4")
    # As one least-squares problem: rows of data with a column of ones for the bias, then rows of penalty.
    ridge = np.sqrt(penalty * mean_variance(features) * rows) * np.eye(columns, columns + 1)
    system = np.vstack([np.column_stack([features.astype("f8"), np.ones(rows)]), ridge])
    right = np.vstack([logits - features.astype("f8") @ old_weight.T, np.zeros((columns, labels))])
    solution = np.linalg.lstsq(system, right, rcond=None)[0]
    return {
        "num_features": columns,
        "num_labels": labels,
        "penalty": penalty,
        "features": features.ravel().tolist(),
        "logits": logits.ravel().tolist(),
        "old_weight": old_weight.ravel().tolist(),
        "old_bias": old_bias.tolist(),
        "weight": (old_weight + solution[:columns].T).ravel().tolist(),
        "bias": solution[columns].tolist(),
    }


def main():
    rng = np.random.default_rng(3)
    golden = {
        "logistic": [logistic_case(rng, "single"), logistic_case(rng, "multi")],
        "least_squares": least_squares_case(rng),
    }
    with open("tests/golden/heads.json", "w", encoding="utf-8") as file:
        file.write(json.dumps(golden) + "\n")
    for case in golden["logistic"]:
        print(case["problem"], [round(fit["validation_loss"], 4) for fit in case["fits"]])


if __name__ == "__main__":
    main()
