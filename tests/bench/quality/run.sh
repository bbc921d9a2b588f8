#!/bin/bash
# One run of the quality table: run.sh MODEL BITS RECIPE SEED OUT [key=value ...]
#   MODEL   wiki-llama-5m, or a model's folder
#   RECIPE  configs/quality/RECIPE-BITS.yaml where there is one, else configs/quality/RECIPE.yaml
#   OUT     the run's folder, which gets run.json; key=value overrides the recipe
# TOKENS (122880) of wiki.valid are trained on in the recipe's batches, each once up to 351,488 of them; those that
# quant.ranks=by_loss measures layers with count, in each pass. WikiText-2 test (100 chunks of 256 tokens) is scored
# before and after. THREADS (1) change the last bits of a run's numbers only.
set -euo pipefail
if [ $# -lt 5 ]; then sed -n '2,8s/^# //p' "$0" >&2; exit 2; fi
model=$1 bits=$2 recipe=$3 seed=$4 out=$(realpath -m "$5"); shift 5
here=$(cd "$(dirname "$0")" && pwd)
if [ "$model" = wiki-llama-5m ]; then model=data/wiki-llama-5m; else model=$(realpath "$model"); fi
cd "$here/../../.."
program=${LITTLEBIT_TRAIN:-build/bin/littlebit-train}
config=configs/quality/$recipe-$bits.yaml
[ -e "$config" ] || config=configs/quality/$recipe.yaml
config=${CONFIG:-$config}
settings=("model.path=$model" "quant.bits_per_weight=$bits" "train.seed=$seed" "train.threads=${THREADS:-1}" "output.dir=$out" "$@")
options=$("$program" "$config" "${settings[@]}" train.steps=1 --print-config)
option() { awk -v section="$1:" -v key="$2:" '/^[a-z]/ {inside = ($1 == section)} inside && $1 == key {print $2; exit}' <<< "$options"; }
batch=$(option train global_batch_size)
if [ "$batch" = 0 ]; then batch=$(option train micro_batch_size); fi
tokens=${TOKENS:-122880}
if [ "$(option quant ranks)" = by_loss ]; then
  blocks=$(sed -n 's/.*"num_hidden_layers": *\([0-9]*\).*/\1/p' "$model/config.json")
  tokens=$((tokens - 64 * (1 + 7 * blocks)))  # a pass of 64 tokens as they are, and one for each layer
fi
steps=$((tokens / (batch * $(option data sequence_length))))
exec "$program" "$config" "${settings[@]}" "train.steps=$steps"
