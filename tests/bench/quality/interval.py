#!/usr/bin/env python3
"""How much less excess a recipe has than another, with its uncertainty: interval.py MODEL BITS BASELINE RECIPE [RESULTS]

Excess is the student's loss on the test text minus the teacher's. Of RESULTS (this folder's results) all runs of both
recipes without settings of their own count whose seed both have. TOKENS=614400 in the environment: those of so many
tokens instead, at the rates they were given. The 95 % interval is a paired bootstrap: seeds and chunks are drawn with
replacement, the same ones for both. Development time only; Python 3, nothing else.
"""

import json
import os
import random
import sys
from pathlib import Path

DRAWS = 20000
USUAL_TOKENS = 122880


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def losses_by_seed(results, model, bits, recipe):
    found, tokens = {}, int(os.environ.get("TOKENS", USUAL_TOKENS))
    for file in sorted(results.glob("*.json")):
        run = json.loads(file.read_text())
        is_asked = (run.get("model"), run.get("bits"), run.get("recipe")) == (model, bits, recipe)
        # Up to a fiftieth of the tokens may have gone into the measuring of ranks.
        is_whole = 0.98 * tokens < run.get("tokens", 0) <= tokens
        if is_asked and is_whole and (tokens != USUAL_TOKENS or not run["settings"]) and "chunk_nll" in run:
            found[run["seed"]] = run["chunk_nll"]
    return found


def main(model, bits, baseline, recipe, results):
    teacher = json.loads((results / f"{Path(model).name}-teacher.json").read_text())["chunk_nll"]
    of_baseline = losses_by_seed(results, model, bits, baseline)
    of_recipe = losses_by_seed(results, model, bits, recipe)
    seeds = sorted(of_baseline.keys() & of_recipe.keys())
    if not seeds:
        sys.exit(f"no seed that both {baseline} and {recipe} have a result of at {bits} bit")

    def excess(losses, drawn_seeds, chunks):
        return mean(mean(losses[seed][i] for i in chunks) for seed in drawn_seeds) - mean(teacher[i] for i in chunks)

    def reduction(drawn_seeds, chunks):
        return 1 - excess(of_recipe, drawn_seeds, chunks) / excess(of_baseline, drawn_seeds, chunks)

    everything = range(len(teacher))
    generator = random.Random(1)
    draws = sorted(
        reduction(generator.choices(seeds, k=len(seeds)), generator.choices(everything, k=len(everything)))
        for _ in range(DRAWS)
    )
    low, high = draws[int(0.025 * DRAWS)], draws[int(0.975 * DRAWS)]
    print(
        f"{model} {bits} bit, seeds {seeds}: {baseline} {excess(of_baseline, seeds, everything):.3f}, "
        f"{recipe} {excess(of_recipe, seeds, everything):.3f} nats above the teacher: "
        f"{100 * reduction(seeds, everything):.0f} % less, 95 % interval {100 * low:.0f} to {100 * high:.0f} %"
    )


if __name__ == "__main__":
    if len(sys.argv) not in (5, 6):
        sys.exit(__doc__)
    folder = Path(sys.argv[5]) if len(sys.argv) == 6 else Path(__file__).resolve().parent / "results"
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3], sys.argv[4], folder)
