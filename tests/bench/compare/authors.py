#!/usr/bin/env python3
"""Times a training step of littlebit-train and of the authors' code; called by authors.sh, which says how.

The model is a Llama with random weights in bf16 (or --model DIR, of any family that both take), the tokens are random. Both
train two paths at --bits from Dual-SVID starts with the authors' loss, fp32 unless --dtype bf16, with --threads, in
--rounds turns; a turn is a process of its own, of which the first step is not counted. Printed: the median step, its
rate, the peak of the process's memory, and their ratios. Theirs keeps activations of no block (gradient checkpointing is
what their main.py switches on); ours runs with train.recompute full and auto.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repository", type=pathlib.Path, required=True)
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--model", type=pathlib.Path)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--intermediate", type=int, default=1376)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--vocabulary", type=int, default=4096)
    parser.add_argument("--bits", type=float, default=0.55)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--theirs", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def make_model(args, folder):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    torch.manual_seed(1)
    config = LlamaConfig(hidden_size=args.hidden, intermediate_size=args.intermediate, num_hidden_layers=args.layers,
                         num_attention_heads=args.heads, vocab_size=args.vocabulary, max_position_embeddings=2048)
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)  # as checkpoints are stored


def make_ids(args, vocabulary, file):
    import torch
    from safetensors.torch import save_file
    torch.manual_seed(2)
    ids = torch.randint(vocabulary, (args.batch * args.steps, args.length), dtype=torch.int32)
    save_file({"input_ids": ids}, file)


def peak_bytes(process="self"):
    """So far; 0 of a process that has ended."""
    found = re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{process}/status").read_text())
    return 1024 * int(found.group(1)) if found else 0


def run_theirs(args):
    """One turn in this process; prints a line of JSON."""
    sys.path.insert(0, str(args.repository))
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM
    from quantization.utils import apply_littlebit_patch
    from utils.kd_utils import KDTrainer
    from utils.utils import prepare_model_for_training
    torch.set_num_threads(args.threads)
    dtype = torch.bfloat16 if args.dtype == "bf16" else torch.float32
    load = lambda: AutoModelForCausalLM.from_pretrained(args.model, torch_dtype=dtype)
    teacher = load().eval()
    for parameter in teacher.parameters():
        parameter.requires_grad_(False)
    student = load()
    student.config.use_cache = False
    prepare_model_for_training(student)
    settings = argparse.Namespace(quant_func="SmoothSign", quant_mod="LittleBitLinear", residual=True, split_dim=1024,
                                  eff_bit=args.bits, kv_factor=1.0, min_split_dim=8, model_id=str(args.model))
    student = apply_littlebit_patch(student, settings, do_train=True).train()
    trainable = [parameter for parameter in student.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=1e-4)
    # Their loss, of an object that has what it reads.
    trainer = KDTrainer.__new__(KDTrainer)
    trainer.teacher_model, trainer.l2l_loss_scale, trainer.log = teacher, 10.0, lambda logs: None
    ids = load_file(args.out / "ids.safetensors")["input_ids"].long()
    seconds = []
    for step in range(args.steps):
        batch = ids[step * args.batch:(step + 1) * args.batch]
        begin = time.perf_counter()
        loss = trainer.compute_loss(student, {"input_ids": batch, "attention_mask": torch.ones_like(batch)})
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trainable, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - begin)
    print(json.dumps({"seconds": seconds[1:], "peak_bytes": peak_bytes(), "loss": float(loss)}))


def turn_of_theirs(args):
    words = [sys.executable, __file__, *sys.argv[1:], "--theirs"]
    if "--model" not in sys.argv:
        words += ["--model", str(args.model)]
    output = subprocess.run(words, check=True, capture_output=True, text=True, env={
        **os.environ, "OMP_NUM_THREADS": str(args.threads)}).stdout
    return json.loads(output.splitlines()[-1])


def turn_of_ours(args, recompute):
    run = args.out / "run"
    shutil.rmtree(run, ignore_errors=True)
    words = [args.program, f"model.path={args.model}", f"data.train=[{{path: {args.out}/ids.safetensors, format: tokens}}]",
             f"data.sequence_length={args.length}", f"quant.bits_per_weight={args.bits}", f"train.dtype={args.dtype}",
             f"train.steps={args.steps}", f"train.micro_batch_size={args.batch}", f"train.threads={args.threads}",
             "optim.learning_rate=1e-4", f"train.recompute={recompute}", "train.device=cpu", "checkpoint.async=false",
             f"output.dir={run}"]
    peak, said = 0, args.out / "said.txt"
    with said.open("w") as file, subprocess.Popen([str(word) for word in words], stdout=file, stderr=file) as process:
        # Not ru_maxrss: that begins with what this process, which started it, held.
        while process.poll() is None:
            peak = max(peak, peak_bytes(process.pid))
            time.sleep(0.01)
    if process.returncode != 0:
        sys.exit(said.read_text())
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {"seconds": [line["seconds"] for line in lines[1:]], "peak_bytes": peak,
            "loss": lines[-1]["loss"], "share": statistics.median(line.get("product_share", 0) for line in lines[1:])}


def main():
    args = arguments()
    if args.theirs:
        return run_theirs(args)
    if args.model is None:
        args.model = args.out / f"llama-{args.hidden}-{args.layers}"
        if not (args.model / "config.json").exists():
            make_model(args, args.model)
    vocabulary = json.loads((args.model / "config.json").read_text())["vocab_size"]
    make_ids(args, vocabulary, args.out / "ids.safetensors")
    ways = {"theirs": lambda: turn_of_theirs(args), "ours, recompute full": lambda: turn_of_ours(args, "full"),
            "ours, recompute auto": lambda: turn_of_ours(args, "auto")}
    turns = {name: [] for name in ways}
    for number in range(args.rounds):
        for name, way in ways.items():
            turns[name].append(way())
            print(f"round {number + 1}: {name}: {statistics.median(turns[name][-1]['seconds']):.3f} s a step", file=sys.stderr)
    tokens = args.batch * args.length
    median = {name: statistics.median(second for turn in of for second in turn["seconds"]) for name, of in turns.items()}
    peak = {name: statistics.median(turn["peak_bytes"] for turn in of) for name, of in turns.items()}
    print(f"{args.model.name}, {args.batch} x {args.length} tokens, {args.bits} bit, {args.dtype}, {args.threads} threads\n")
    print("| | s a step | tokens/s | times as fast | peak memory, MiB | of theirs | share of products |\n|---|---|---|---|---|---|---|")
    for name, of in turns.items():
        share = f"{100 * statistics.median(turn['share'] for turn in of):.0f} %" if "share" in of[0] else ""
        print(f"| {name} | {median[name]:.3f} | {tokens / median[name]:.0f} | {median['theirs'] / median[name]:.2f} | "
              f"{peak[name] / 2**20:.0f} | {peak[name] / peak['theirs']:.2f} | {share} |")


if __name__ == "__main__":
    main()
