#!/usr/bin/env python3
"""Writes docs/scale.md from `littlebit-train --estimate-memory --json`: `make scale`.

For development only. Every number in the tables comes from the program; this file asks and lays out.
"""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

GIB = 1024.0**3
MODELS = [("llama2-7b", "Llama-2-7B"), ("llama2-13b", "Llama-2-13B"), ("qwen2.5-72b", "Qwen2.5-72B"),
          ("llama3.1-405b", "Llama-3.1-405B")]
BITS = ["1.0", "0.55", "0.1"]
WORLDS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
# Cards by what their makers call them, and the GiB that CUDA shows on one.
CARDS = [("24 GB", 23.5), ("80 GB", 79.2), ("141 GB", 139.8)]
SEQUENCE, BATCH = 2048, 512
BANDWIDTH = "400Gb/s"
SHORT = {("replicated", "step"): "r/s", ("replicated", "microbatch"): "r/m", ("sharded", "step"): "s/s",
         ("sharded", "microbatch"): "s/m", ("spread", "step"): "a/s", ("spread", "microbatch"): "a/m"}


def estimate(program, model, bits, world):
    words = [program, "train.recompute=full", "--estimate-memory", "--json", "--processes", str(world), "--bandwidth", BANDWIDTH,
             "model.path=configs/scale/" + model, "quant.bits_per_weight=" + bits, "train.device=cuda", "train.micro_batch_size=1",
             "train.global_batch_size=%d" % BATCH, "data.sequence_length=%d" % SEQUENCE,
             "checkpoint.async=false"]
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def gib(count):
    return "%.1f" % (count / GIB) if count < 99.95 * GIB else "%d" % round(count / GIB)


def table(header, rows):
    widths = [max(len(row[i]) for row in [header] + rows) for i in range(len(header))]
    line = lambda row: "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |\n"
    return line(header) + "|" + "|".join("-" * (width + 2) for width in widths) + "|\n" + "".join(map(line, rows))


def resident(found):
    return [way for way in found["ways"] if way["teacher"] != "streamed"]


def ways(found):
    """Ways to divide the run, the least traffic first; the teacher is on the devices."""
    return sorted(resident(found), key=lambda way: way["sent"])


def fewest(estimates, memory):
    for world in WORLDS:
        for way in ways(estimates[world]):
            if way["total"] <= memory * GIB:
                return world, way
    return None


def best_cells(estimates):
    cells = []
    for _, memory in CARDS:
        found = fewest(estimates, memory)
        if found:
            world, way = found
            mode = "" if world == 1 else " " + SHORT[way["teacher"], way["gradient_reduce"]]
            cells.append("%d%s (%s)" % (world, mode, gib(way["total"])))
        else:
            cells.append("-")
    return cells


NAMES = {"latents, two moments": "latents, moments", "gradients of latents": "gradients", "sign bits": "bits",
         "scales, biases, norms": "vectors", "teacher, what is not mapped": "teacher",
         "teacher, divided, and gathered blocks": "teacher", "states of blocks and their differences": "states",
         "expanded weights and their gradients": "weights", "activations and gradients of a block": "work",
         "logits of a chunk": "work", "context, workspaces, gaps (assumed)": "context and gaps"}
COLUMNS = ["latents, moments", "gradients", "bits", "teacher", "states", "weights", "work", "vectors",
           "context and gaps"]


def terms(way):
    sums = dict.fromkeys(COLUMNS, 0)
    for part in way["memory"]:
        sums[NAMES[part["what"]]] += part["bytes"]
    return sums


def least(found):
    return min(resident(found), key=lambda way: way["total"])


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else "build/bin/littlebit-train"
    asked = [(model, bits, world) for model, _ in MODELS for bits in BITS for world in WORLDS]
    with ThreadPoolExecutor(2) as pool:
        answers = dict(zip(asked, pool.map(lambda key: estimate(program, *key), asked)))
    of = lambda model, bits: {world: answers[model, bits, world] for world in WORLDS}

    out = open("tests/bench/scale/head.md").read()
    out += "\n## Fewest GPUs on which a run fits\n\n"
    out += table(["model", "bits"] + ["on %s" % name for name, _ in CARDS],
                 [[title, bits] + best_cells(of(model, bits)) for model, title in MODELS for bits in BITS])
    out += open("tests/bench/scale/fewest.md").read()

    out += "\n## Least memory of a process, part by part\n\nGiB of process 0 in the way that takes least"
    out += " (on one GPU there is only one); the time is what the bytes\n"
    out += "of a step take at %s, none of it hidden.\n" % BANDWIDTH
    for model, title in MODELS:
        rows = []
        for bits in BITS:
            for world in WORLDS:
                way = least(answers[model, bits, world])
                sums = terms(way)
                rows.append([bits, str(world), gib(way["total"])] + [gib(sums[name]) for name in COLUMNS] +
                            ["%.2f s" % way["seconds"] if world > 1 else ""])
        out += "\n### %s\n\n" % title + table(["bits", "GPUs", "total"] + COLUMNS + ["a step's bytes take"], rows)

    out += "\n## What fits nowhere, and what would lift it\n\n"
    rows = []
    for model, title in MODELS:
        for bits in BITS:
            for name, memory in CARDS:
                if fewest(of(model, bits), memory):
                    continue
                way = least(answers[model, bits, WORLDS[-1]])
                sums = terms(way)
                largest = sorted(COLUMNS, key=lambda column: -sums[column])[:4]
                rest = way["total"] - sums["bits"] - sums["states"]
                rows.append([title, bits, name, gib(way["total"]),
                             ", ".join("%s %s" % (column, gib(sums[column])) for column in largest), gib(rest)])
    out += table(["model", "bits", "card", "512 GPUs hold", "most of it", "bits and states elsewhere"], rows)
    out += open("tests/bench/scale/lift.md").read()
    open("docs/scale.md", "w").write(out)


main()
