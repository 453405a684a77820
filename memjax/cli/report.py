# SPDX-License-Identifier: Apache-2.0
"""What commands say of the results of a run."""


def print_perplexity(split: str, results: dict[str, list[float]]) -> None:
    """Says what a run over text reached on a split."""
    unknown = results.get("unknown", [0.0])[0]
    left_out = f", without the {unknown:.1f} % of words that it does not know" if unknown else ""
    print(f"{split}: perplexity {results['perplexity'][0]:.2f}{left_out}")


def print_labels(split: str, results: dict[str, list[float]]) -> None:
    """Says what a run over labelled texts reached on a split."""
    print(f"{split}: {results['accuracy'][0]:.2f} % of the labels right")


def print_accuracy(split: str, results: dict[str, list[float]]) -> None:
    """Says what a run over stories reached on a split."""
    more = f", {results['supports'][0]:.2f} % of the supporting facts found in order" if "supports" in results else ""
    print(f"{split}: {results['accuracy'][0]:.2f} % of the answers right{more}")
    for name, values in results.items():  # of several tasks, each
        if name.startswith("task "):
            print(f"  {name}: {values[0]:.2f} %")


def print_hits(split: str, results: dict[str, list[float]]) -> None:
    """Says what a run over a knowledge base reached on a split."""
    hits, f1 = results["hits@1"][0], results["f1"][0]
    print(f"{split}: {hits:.2f} % of the best answers right, F1 of the sets of answers {f1:.2f} %")


def print_dialogs(split: str, results: dict[str, list[float]]) -> None:
    """Says what a run over dialogs reached on a split."""
    responses, dialogs = results["responses"][0], results["dialogs"][0]
    print(f"{split}: {responses:.2f} % of the responses right, all of them in {dialogs:.2f} % of the dialogs")


def print_best(split: str, results: dict[str, list[float]]) -> None:
    """Says what a run over keys and values reached on a split."""
    print(f"{split}: {results['hits@1'][0]:.2f} % of the best answers right, of {results['candidates'][0]:.1f} read")


def print_scenes(split: str, results: dict[str, list[float]]) -> None:
    """Says what a run over images reached on a split."""
    relational, single = results["relational"][0], results["single"][0]
    print(f"{split}: {relational:.2f} % of the relational questions right, {single:.2f} % of those about one object")
