#!/usr/bin/env bash
# tests/compat/compat.sh BASE [BUILD]: whether runs survive a change of program. Builds commit BASE in a scratch clone;
# 10 steps there and 10 here, the other way round, and 20 with one program each must give the same metrics (but for
# times) and the same export, or the checkpoints' format number must have changed. A release gate, never part of CI
# (docs/contributing.md). BUILD: this checkout's build folder, default build.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD base=${1:?usage: tests/compat/compat.sh BASE [BUILD]} here=$PWD/${2:-build}/bin/littlebit-train
[ -x "$here" ] || { echo "compat: no $here: make build"; exit 2; }
commit=$(git rev-parse --verify "$base^{commit}")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

echo "compat: building $commit"
git clone --quiet --shared --no-checkout . "$scratch/clone"
git -C "$scratch/clone" checkout --quiet "$commit"
{ cmake -G Ninja -S "$scratch/clone" -B "$scratch/clone/build" -DLITTLEBIT_TESTS=OFF -DLITTLEBIT_CUDA=OFF \
    ${LIBTORCH:+-DLIBTORCH="$LIBTORCH"} && nice ninja -C "$scratch/clone/build" littlebit-train; } \
  >"$scratch/build.log" 2>&1 || { tail -n 30 "$scratch/build.log"; exit 1; }
there=$scratch/clone/build/bin/littlebit-train

format_of() {  # format_of FOLDER: the number that its newest checkpoint carries
  python3 -c 'import json,sys,glob
files = sorted(glob.glob(sys.argv[1] + "/checkpoints/*/*.json"))
print(next((m["version"] for m in map(lambda f: json.load(open(f)), files) if "version" in m), "none"))' "$1"
}

train() {  # train PROGRAM NAME WORD...: the model and the text of the recorded runs
  local program=$1 name=$2
  shift 2
  "$program" model.path="$root/tests/golden/stories260k" \
    data.train="[{path: \"$root/tests/golden/training/tokens.safetensors\", format: tokens}]" \
    data.sequence_length=256 train.steps=20 train.global_batch_size=4 train.micro_batch_size=4 train.threads=2 \
    optim.learning_rate=1e-3 output.dir="$scratch/$name" "$@" >"$scratch/$name.log" 2>&1
}

metrics() {  # without what depends on the clock
  python3 -c 'import json,sys
for line in open(sys.argv[1]):
    record = json.loads(line)
    print({k: v for k, v in record.items() if k not in ("time", "product_share") and "second" not in k})' "$scratch/$1/metrics.jsonl"
}

failed=0
run() {  # run NAME FIRST SECOND
  train "$2" "$1" train.stop_after=10 && train "$3" "$1" --resume auto ||
    { echo "compat: $1 failed"; tail -n 5 "$scratch/$1.log"; failed=1; }
}
train "$there" base && train "$here" this || { tail -n 5 "$scratch"/*.log; exit 1; }
run base-then-this "$there" "$here"
run this-then-base "$here" "$there"
for name in this base-then-this this-then-base; do
  if ! diff <(metrics base) <(metrics "$name") >"$scratch/difference"; then
    echo "compat: metrics of $name are not those of base:"
    head -n 4 "$scratch/difference"
    failed=1
  fi
  cmp "$scratch/base/export/packed/model.safetensors" "$scratch/$name/export/packed/model.safetensors" || failed=1
done
if [ "$failed" -ne 0 ] && [ "$(format_of "$scratch/base")" != "$(format_of "$scratch/this")" ]; then
  echo "compat: the format of checkpoints changed from $(format_of "$scratch/base") to $(format_of "$scratch/this"): allowed"
  exit 0
fi
[ "$failed" -eq 0 ] && echo "compat: $commit and this checkout go on with each other's runs, to the last bit"
exit "$failed"
