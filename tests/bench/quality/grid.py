#!/usr/bin/env python3
"""Runs of a list, one after the other, and a small JSON of each: grid.py LIST RESULTS [WORK_FOLDER]

A line of LIST is `NAME MODEL BITS RECIPE SEED [key=value ...]`, and may begin with NAME=value for run.sh
(TOKENS=...). RESULTS/NAME.json is written when the run is done; lines whose file is there are passed over, so that an
interrupted list goes on where it stopped. Development time only; Python 3, nothing else.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def settings_of(line):
    environment, words = {}, shlex.split(line, comments=True)
    while words and words[0].split("=")[0].isupper() and "=" in words[0]:
        key, value = words.pop(0).split("=", 1)
        environment[key] = value
    return environment, words


def bits_stored(folder):
    layers = [json.loads(line) for line in (folder / "factorization.jsonl").read_text().splitlines()]
    weights = [layer["shape"][0] * layer["shape"][1] for layer in layers]
    return sum(layer["bits"] * n for layer, n in zip(layers, weights)) / sum(weights)


def tokens_of_sequence(run):
    return run["data"]["sequence_length"]


def result_of(words, environment, folder):
    run = json.loads((folder / "run.json").read_text())
    steps = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    last = steps[-max(1, len(steps) // 20) :]
    return {
        "model": words[1],
        "bits": float(words[2]),
        "recipe": words[3],
        "seed": int(words[4]),
        "settings": words[5:],
        "bits_by_formula": round(bits_stored(folder), 4),
        "tokens": run["tokens"],
        "seconds": round(run["seconds"], 1),
        # Per token, of the last twentieth of the steps: on text that was not trained on before.
        "training_kl": round(sum(step["loss_kl"] for step in last) / len(last) / tokens_of_sequence(run), 4),
        "perplexity": {key.removesuffix("_perplexity"): value for key, value in run["summary"].items()},
    }


def main(list_file, results, work):
    results.mkdir(parents=True, exist_ok=True)
    for line in list_file.read_text().splitlines():
        environment, words = settings_of(line)
        if not words or (results / f"{words[0]}.json").exists():
            continue
        folder = work / words[0]
        shutil.rmtree(folder, ignore_errors=True)
        done = subprocess.run(
            [HERE / "run.sh", *words[1:5], folder, *words[5:]], env=os.environ | environment, capture_output=True, text=True
        )
        if done.returncode != 0:
            print(f"{words[0]}: exit code {done.returncode}\n{done.stderr[-2000:]}", flush=True)
            continue
        result = result_of(words, environment, folder)
        partial = results / f"{words[0]}.json.partial"
        partial.write_text(json.dumps(result, indent=1) + "\n")
        partial.rename(results / f"{words[0]}.json")
        shutil.rmtree(folder)
        print(words[0], result["perplexity"]["final"], flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3] if len(sys.argv) > 3 else "out/quality"))
