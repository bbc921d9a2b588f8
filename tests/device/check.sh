#!/bin/sh
# Checks this program on this machine's GPU, in at most five minutes:
#
#   tests/device/check.sh OUT [BIN]
#
# leaves OUT/check.json and OUT/check.md. BIN holds littlebit-train and littlebit-bench: the bundle's bin/, or build/bin.
# Each part has a process and a time limit of its own, so that one that hangs leaves the others. Without a GPU the same
# parts run on the CPU at toy sizes, in under a minute. DEVICE=cpu|cuda overrides what is chosen. Exit code 0 where all is
# well, 1 where a part failed, was too slow or gave wrong numbers.
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
  stack=configs/bench/llama2-7b.yaml steps=150 generate="stack.blocks=8 case.bits=[0.55]"
else
  stack=configs/bench/toy.yaml steps=8 generate="case.bits=[0.55]"
fi
rm -rf "$out/demo" "$out/processes" "$out"/*.json "$out/parts.txt" "$out/check.md"
echo "device $device" >"$out/parts.txt"
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader >"$out/nvidia-smi.txt" 2>/dev/null ||
  rm -f "$out/nvidia-smi.txt"

part() {  # part NAME SECONDS COMMAND...: its output in OUT/NAME.log, a line "NAME code seconds" in OUT/parts.txt
  name=$1 limit=$2 begin=$(date +%s)
  shift 2
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

bench checks 45 machine self-test golden case.golden=tests/golden
part demo 90 "$bin/littlebit-train" --config configs/train/demo.yaml "train.device=$device" "train.steps=$steps" \
  checkpoint.every=0 "output.dir=$out/demo"
# Several processes: a GPU each where there are two, over NCCL; else on the CPU, over Gloo.
gpus=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU')
if [ "$device" = cuda ] && [ "$gpus" -ge 2 ]; then among=cuda; else among=cpu; fi
part processes 60 "$bin/littlebit-train" --nproc 2 --config configs/train/demo.yaml "train.device=$among" train.steps=4 \
  checkpoint.every=2 "output.dir=$out/processes"
bench step 110 step signs
bench dense 20 dense
# shellcheck disable=SC2086
bench generate 30 generate $generate
exec "$bin/littlebit-bench" report "$out"
