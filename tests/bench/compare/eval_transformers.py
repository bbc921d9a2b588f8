#!/usr/bin/env python3
"""WikiText-2 perplexity in transformers and in littlebit-eval: tokens per second, peak resident
memory, and whether both give the same number. Same machine, same chunks, same threads, one run;
nothing else should run beside it. Development time only; needs torch 2.11.0, transformers 4.51.3.

    eval_transformers.py --program ../../../build/bin/littlebit-eval --model DIR [--packed DIR]
        --data-root ../../../data [--seqlen 2048] [--limit 8] [--threads 2]

--packed: the same model packed by littlebit-train, scored by littlebit-eval alone. The second rate
counts processor time of all threads, which other programs disturb less; ours is the difference
between a run of --limit chunks and one of a single chunk.
"""
import argparse
import json
import math
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

MIB = 1 << 10  # ru_maxrss counts KiB


def joined_rows(text):
    """The string "\\n\\n".join(...) of the data set's rows."""
    rows = [line + "\n" if line.strip() else "" for line in text.removesuffix("\n").split("\n")]
    return "\n\n".join(rows)


def run_transformers(args):
    """In a process of its own: prints one line of JSON."""
    import torch
    import transformers
    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        args.model, torch_dtype=torch.float32, attn_implementation="sdpa").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.model)
    places = [args.data_root / "wikitext2" / "wiki.test.raw", args.data_root / "wiki.test.raw"]
    text = joined_rows(next(p for p in places if p.exists()).read_bytes().decode())
    ids = torch.tensor(tokenizer(text).input_ids)
    chunks = ids[:len(ids) // args.seqlen * args.seqlen].view(-1, args.seqlen)[:args.limit]
    model(chunks[:1, :64])  # first calls set things up
    start, cpu, total = time.perf_counter(), time.process_time(), 0.0
    for batch in chunks.split(args.batch):
        logits = model(batch, use_cache=False).logits[:, :-1]
        total += torch.nn.functional.cross_entropy(
            logits.reshape(-1, logits.shape[-1]), batch[:, 1:].reshape(-1)).item() * len(batch)
        del logits
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(json.dumps({
        "perplexity": math.exp(total / len(chunks)),
        "tokens_per_second": chunks.numel() / seconds,
        "tokens_per_cpu_second": chunks.numel() / cpu,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB}))


def measure(command):
    """Output, peak memory and processor time of a program."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True,
                               env=dict(os.environ, OMP_WAIT_POLICY="passive"))
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{command[0]} failed")
    return output, usage.ru_maxrss / MIB, usage.ru_utime + usage.ru_stime


def run_littlebit(args, model):
    more, less = run_chunks(args, model, args.limit), run_chunks(args, model, 1)
    more["tokens_per_cpu_second"] = (args.limit - 1) * args.seqlen / (more["cpu"] - less["cpu"])
    return more


def run_chunks(args, model, limit):
    with tempfile.TemporaryDirectory() as folder:
        results = pathlib.Path(folder) / "results.json"
        _, peak, cpu = measure([str(args.program), "--model", str(model), "--tasks", "wikitext2",
                           "--data-root", str(args.data_root), "--seqlen", str(args.seqlen),
                           "--limit", str(limit), "--threads", str(args.threads),
                           "--output", str(results)])
        task = json.loads(results.read_text())["tasks"]["wikitext2"]
    return {"perplexity": task["perplexity"], "peak_mib": peak, "cpu": cpu,
            "tokens_per_second": task["tokens"] / task["seconds"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", type=pathlib.Path)
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--packed", type=pathlib.Path)
    parser.add_argument("--data-root", type=pathlib.Path, required=True)
    parser.add_argument("--seqlen", type=int, default=2048)
    parser.add_argument("--limit", type=int, default=8)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--batch", type=int, default=1, help="chunks per forward in transformers")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        return run_transformers(args)
    rows = {}
    for batch in sorted({1, max(1, 4096 // args.seqlen)}):
        command = [sys.executable, __file__, "--inside", "--batch", str(batch)]
        for name in ("model", "data_root", "seqlen", "limit", "threads"):
            command += ["--" + name.replace("_", "-"), str(getattr(args, name))]
        rows[f"transformers, fp32, batch {batch}"] = json.loads(measure(command)[0])
    rows["littlebit-eval, dense fp32"] = run_littlebit(args, args.model)
    if args.packed:
        rows["littlebit-eval, packed"] = run_littlebit(args, args.packed)
    best = max(row["tokens_per_second"] for name, row in rows.items() if name[0] == "t")
    least = max(row["tokens_per_cpu_second"] for name, row in rows.items() if name[0] == "t")
    print("| program | tokens/s | of transformers | tokens/CPU s | of transformers "
          "| peak memory | perplexity |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, row in rows.items():
        speed = row["tokens_per_second"]
        cpu = row["tokens_per_cpu_second"]
        print(f"| {name} | {speed:.0f} | {speed / best:.2f} | {cpu:.0f} | {cpu / least:.2f} "
              f"| {row['peak_mib']:.0f} MiB "
              f"| {row['perplexity']:.4f} |", flush=True)


if __name__ == "__main__":
    main()
