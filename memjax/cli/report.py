# SPDX-License-Identifier: Apache-2.0
"""What commands say of the results of a run."""


def print_perplexity(split: str, results: dict[str, list[float]]) -> None:
    """Says what a run over text reached on a split."""
    print(f"{split}: perplexity {results['perplexity'][0]:.2f}")


def print_labels(split: str, results: dict[str, list[float]]) -> None:
    """Says what a run over labelled texts reached on a split."""
    print(f"{split}: {results['accuracy'][0]:.2f} % of the labels right")


def print_accuracy(split: str, results: dict[str, list[float]]) -> None:
    """Says what a run over stories reached on a split."""
    accuracy, supports = results["accuracy"][0], results["supports"][0]
    print(f"{split}: {accuracy:.2f} % of the answers right, {supports:.2f} % of the supporting facts found in order")
    for name, values in results.items():  # of several tasks, each
        if name.startswith("task "):
            print(f"  {name}: {values[0]:.2f} %")


def print_hits(split: str, results: dict[str, list[float]]) -> None:
    """Says what a run over a knowledge base reached on a split."""
    hits, f1 = results["hits@1"][0], results["f1"][0]
    print(f"{split}: {hits:.2f} % of the best answers right, F1 of the sets of answers {f1:.2f} %")


def print_scenes(split: str, results: dict[str, list[float]]) -> None:
    """Says what a run over images reached on a split."""
    relational, single = results["relational"][0], results["single"][0]
    print(f"{split}: {relational:.2f} % of the relational questions right, {single:.2f} % of those about one object")
