"""Our dense exports in Hugging Face transformers: logits against littlebit-eval forward, for every family.

check_export.py BUILD_BIN FIXTURE [FIXTURE ...]     e.g. check_export.py build/bin tests/golden/models/*

Of each fixture (a model folder): a start student is made and exported (littlebit-train, one step at rate 0 on random
ids), then the dense folder is loaded with AutoModelForCausalLM and its logits on random ids are compared with those of
littlebit-eval forward. Prints the largest difference of each, and fails above 1e-4 of the largest logit. Development
time only: needs torch, transformers 4.51.3, safetensors, numpy.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

TOLERANCE = 1e-4  # of the largest logit: fp32 sums in another order
TOKENS = 24


def run(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))}\nexit code {done.returncode}\n{done.stderr}")


def check(bin_folder, fixture, temp):
    config = json.loads((fixture / "config.json").read_text())
    vocabulary = config.get("text_config", config).get("vocab_size", 256)
    torch.manual_seed(1)
    ids = torch.randint(4, vocabulary, (2, TOKENS), dtype=torch.int32)
    save_file({"input_ids": ids}, temp / "ids.safetensors")
    run(
        bin_folder / "littlebit-train", f"model.path={fixture}", f"data.sequence_length={TOKENS}",
        f"data.train=[{{path: {temp}/ids.safetensors, format: tokens}}]", "quant.bits_per_weight=2",
        "train.steps=1", "optim.learning_rate=1e-3", "export.formats=[packed]", f"output.dir={temp}/run",
    )
    run(bin_folder / "littlebit-train", "export", temp / "run/checkpoints/step-1", "--output", temp / "dense",
        "export.formats=[dense]")
    run(bin_folder / "littlebit-train", "export", temp / "run/export/packed", "--output", temp / "from-packed")
    # transformers 4.51.3 applies Qwen2's window even where config.json switches it off.
    window = {"sliding_window": None} if config.get("use_sliding_window") is False else {}
    worst = 0.0
    for folder in ("dense", "from-packed"):
        run(bin_folder / "littlebit-eval", "forward", "--model", temp / folder, "--input", temp / "ids.safetensors",
            "--output", temp / "out.safetensors")
        ours = load_file(temp / "out.safetensors")["logits"]
        model, report = AutoModelForCausalLM.from_pretrained(
            temp / folder, torch_dtype=torch.float32, attn_implementation="eager", output_loading_info=True, **window
        )
        if report["missing_keys"] or report["unexpected_keys"]:
            sys.exit(f"{fixture.name} {folder}: {report}")
        with torch.no_grad():
            theirs = model(ids.long()).logits
        worst = max(worst, ((ours - theirs).abs().max() / theirs.abs().max()).item())
    print(f"{fixture.name:24} {model.config.model_type:12} {worst:.1e}", flush=True)
    return worst <= TOLERANCE


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sound = True
    for fixture in map(Path, sys.argv[2:]):
        if not (fixture / "config.json").exists():
            continue
        with tempfile.TemporaryDirectory() as folder:
            sound = check(Path(sys.argv[1]).resolve(), fixture.resolve(), Path(folder)) and sound
    sys.exit(0 if sound else "an export differs")
