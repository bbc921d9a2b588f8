#!/bin/sh
# Checks this program on this machine's GPU, in at most six minutes:
#
#   tests/device/check.sh OUT [BIN]
#
# leaves OUT/check.json and OUT/check.md. BIN holds littlebit-train and littlebit-bench: the bundle's bin/, or build/bin.
# Each part has a process and a time limit of its own, so that one that hangs leaves the others; together they have LIMIT
# seconds (340), and what is then left out is named. Without a GPU the same parts run on the CPU at toy sizes, in about a
# minute. DEVICE=cpu|cuda overrides what is chosen. Exit code 0 where all is well, 1 where a part failed, was too slow or
# gave wrong numbers.
set -u
[ $# -ge 1 ] || { echo "usage: check.sh OUT [BIN]" >&2; exit 2; }
mkdir -p "$1" || exit 5
out=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")/../.." && pwd)
bin=${2:-}
[ -n "$bin" ] || for bin in "$here/bin" "$here/build/bin"; do [ -x "$bin/littlebit-bench" ] && break; done
[ -x "$bin/littlebit-bench" ] || { echo "error: no littlebit-bench in $bin" >&2; exit 2; }
bin=$(cd "$bin" && pwd)
cd "$here" || exit 5

device=${DEVICE:-}
if [ -z "$device" ]; then
  if nvidia-smi -L >/dev/null 2>&1; then device=cuda; else device=cpu; fi
fi
if [ "$device" = cuda ]; then
  stack=configs/bench/llama2-7b.yaml steps=400 generate="stack.blocks=8 case.bits=[0.55]"
  batch="micro_batch_size: 4, sequence_length: 2048"
else
  stack=configs/bench/toy.yaml steps=8 generate="case.bits=[0.55]"
  batch="micro_batch_size: 4, sequence_length: 64"
fi
end=$(($(date +%s) + ${LIMIT:-340}))
rm -rf "$out/demo" "$out/processes" "$out/scratch" "$out/factors" "$out"/*.json "$out/parts.txt" "$out/check.md"
echo "device $device" >"$out/parts.txt"
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader >"$out/nvidia-smi.txt" 2>/dev/null ||
  rm -f "$out/nvidia-smi.txt"

part() {  # part NAME SECONDS COMMAND...: its output in OUT/NAME.log, a line "NAME code seconds" in OUT/parts.txt
  name=$1 limit=$2 begin=$(date +%s)
  shift 2
  [ "$limit" -lt $((end - begin)) ] || limit=$((end - begin))
  if [ "$limit" -lt 1 ]; then
    echo "== $name: no time is left"
    echo "$name 124 0" >>"$out/parts.txt"
    return
  fi
  echo "== $name (at most $limit s)"
  timeout -k 5 "$limit" "$@" >"$out/$name.log" 2>&1
  code=$?
  echo "$name $code $(($(date +%s) - begin))" >>"$out/parts.txt"
  [ "$code" -eq 0 ] || { echo "   exit code $code; the end of $out/$name.log:"; tail -n 5 "$out/$name.log"; }
}

bench() {  # bench NAME SECONDS WORDS...
  bench_name=$1 bench_limit=$2
  shift 2
  part "$bench_name" "$bench_limit" "$bin/littlebit-bench" --config "$stack" "$@" "bench.device=$device" \
    "bench.output=$out/$bench_name.json"
}

# One lever of a GPU's memory, or none, of training steps of the same shapes: lever NAME SECONDS SHAPE [OPTIONS]
lever() {
  runs=
  for blocks in ${5:-4}; do runs="$runs{$3, blocks: $blocks, $batch${4:+, $4}},"; done
  TMPDIR=$out/scratch bench "lever-$1" "$2" step "case.step=[$runs]"
}

bench checks 45 machine self-test golden case.golden=tests/golden
bench step 110 step signs
mkdir -p "$out/scratch"
half="bits: 0.55" whole="bits: 1.0, micro_batches: 8"
lever none 20 "$half"
lever state 25 "$half" "state_device: cpu"
lever moments-bf16 20 "$half" "moments: bf16"
lever moments-int8 20 "$half" "moments: int8"
lever teacher 30 "$half" "streams_teacher: true"
lever inputs-bf16 20 "$half" "block_inputs: bf16"
lever inputs-host 20 "$half" "block_inputs_device: cpu"
lever all 35 "$half" \
  "state_device: cpu, moments: int8, streams_teacher: true, block_inputs: bf16, block_inputs_device: cpu"
lever whole-none 40 "$whole" "" "2 4"
lever whole-state 60 "$whole" "state_device: cpu" "2 4"
rm -rf "$out/scratch"
bench operations 60 operations
# The start is the same for both below where the ranks come out the same.
demo() {  # demo NAME SECONDS LITTLEBIT_TRAIN [OPTIONS]
  name=$1 limit=$2
  shift 2
  part "$name" "$limit" "$@" --config configs/train/demo.yaml "quant.cache_dir=$out/factors" "output.dir=$out/$name"
}
demo demo 90 "$bin/littlebit-train" "train.device=$device" "train.steps=$steps" checkpoint.every=0
# Several processes: a GPU each where there are two, over NCCL; else on the CPU, over Gloo.
gpus=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU')
if [ "$device" = cuda ] && [ "$gpus" -ge 2 ]; then among=cuda; else among=cpu; fi
demo processes 90 "$bin/littlebit-train" --nproc 2 "train.device=$among" train.steps=4 checkpoint.every=2
bench dense 20 dense
# shellcheck disable=SC2086
bench generate 30 generate $generate
exec "$bin/littlebit-bench" report "$out"
