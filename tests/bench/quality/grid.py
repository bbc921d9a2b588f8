#!/usr/bin/env python3
"""Runs of a list, one after the other, and a small JSON of each: grid.py LIST RESULTS [WORK_FOLDER]

A line of LIST is `NAME MODEL BITS RECIPE SEED [key=value ...]`, and may begin with NAME=value for run.sh
(TOKENS=...). RESULTS/NAME.json is written when the run is done; lines whose file is there are passed over, and a run
that was told to stop is gone on with, so that an interrupted list goes on where it stopped. littlebit-eval then takes
each test chunk's loss and the KL divergence from the teacher; RESULTS/MODEL-teacher.json gets the teacher's losses.
LITTLEBIT_TRAIN and LITTLEBIT_EVAL name other programs than those of build/bin. Development time only; Python 3,
nothing else.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]


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


def write_json(path, content):
    """`content` with a line a key; lists of numbers take one line too."""
    lines = [f" {json.dumps(key)}: {json.dumps(value, separators=(',', ': '))}" for key, value in content.items()]
    partial = path.with_name(path.name + ".partial")
    partial.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    partial.rename(path)


def scores_of(model, teacher, work):
    """Losses of the test text's chunks, and the mean divergence from the teacher."""
    samples, scores = work / "samples.jsonl", work / "scores.json"
    program = os.environ.get("LITTLEBIT_EVAL", ROOT / "build/bin/littlebit-eval")
    words = ["--model", model, "--teacher", teacher, "--tasks", "wikitext2", "--data-root", ROOT / "data"]
    words += ["--seqlen", "256", "--limit", "100", "--threads", "1", "--output", scores, "--samples", samples]
    subprocess.run([program, *words], check=True, capture_output=True)
    chunks = [round(json.loads(line)["nll"], 3) for line in samples.read_text().splitlines()]
    return {"kl": round(json.loads(scores.read_text())["tasks"]["wikitext2"]["kl"], 4), "chunk_nll": chunks}


def result_of(words, environment, folder):
    run = json.loads((folder / "run.json").read_text())
    steps = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    last = steps[-max(1, len(steps) // 10) :]
    return {
        "model": words[1],
        "bits": float(words[2]),
        "recipe": words[3],
        "seed": int(words[4]),
        "settings": words[5:],
        "bits_by_formula": round(bits_stored(folder), 4),
        "tokens": run["tokens"],
        "seconds": round(run["seconds"], 1),
        # Per token, of the last tenth of the steps: where TOKENS are few, on text that was not trained on before.
        "training_kl": round(sum(step["loss_kl"] for step in last) / len(last) / (run["tokens"] / len(steps)), 4),
        "perplexity": {key.removesuffix("_perplexity"): value for key, value in run["summary"].items()},
    }


def teacher_folder(model):
    return ROOT / "data/wiki-llama-5m" if model == "wiki-llama-5m" else Path(model).resolve()


def main(list_file, results, work):
    results.mkdir(parents=True, exist_ok=True)
    for line in list_file.read_text().splitlines():
        environment, words = settings_of(line)
        if not words or (results / f"{words[0]}.json").exists():
            continue
        folder = work / words[0]
        done = subprocess.run(
            [HERE / "run.sh", *words[1:5], folder, "export.formats=[packed]", "--resume=auto", *words[5:]],
            env=os.environ | environment,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            print(f"{words[0]}: exit code {done.returncode}\n{done.stderr[-2000:]}", flush=True)
            continue
        result = result_of(words, environment, folder)
        teacher = teacher_folder(words[1])
        of_teacher = results / f"{teacher.name}-teacher.json"
        if not of_teacher.exists():
            write_json(of_teacher, {"model": words[1]} | scores_of(teacher, teacher, folder))
        write_json(results / f"{words[0]}.json", result | scores_of(folder / "export/packed", teacher, folder))
        shutil.rmtree(folder)
        print(words[0], result["perplexity"].get("final"), flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3] if len(sys.argv) > 3 else "out/quality"))
