#!/bin/sh
# A training step of littlebit-train beside one of the authors' code, on the same model, tokens and threads, in turn.
# Called from the project's folder after `make`; needs python3 with venv, git, GitHub and PyPI. Nothing of theirs is
# part of this project: their repository is fetched into OUT (its licence forbids commercial use), and driven by
# authors.py.
#   authors.sh [OUT] [words of authors.py]     OUT: out/authors; e.g. --hidden 1024 --layers 4 --dtype bf16
#   LITTLEBIT_PYTHON=... a Python that has torch, transformers 4.51.3 and safetensors, instead of a new environment
set -eu
here=$(dirname "$0")
out=${1:-out/authors}
[ $# -gt 0 ] && shift
commit=7f872f1
mkdir -p "$out"

if [ ! -d "$out/repository/.git" ]; then
  if ! git clone --quiet "${LITTLEBIT_AUTHORS:-https://github.com/SamsungLabs/LittleBit}" "$out/repository"; then
    echo "their repository cannot be fetched; how far a step is from the machine's limit says" >&2
    echo "    build/bin/littlebit-bench step" >&2
    exit 1
  fi
fi
git -C "$out/repository" checkout --quiet "$commit"

python=${LITTLEBIT_PYTHON:-$out/venv/bin/python}
if [ ! -x "$python" ]; then
  python3 -m venv "$out/venv"
  "$out/venv/bin/pip" install --quiet torch==2.11.0 transformers==4.51.3 safetensors numpy
fi
exec "$python" "$here/authors.py" --repository "$out/repository" --program build/bin/littlebit-train --out "$out" "$@"
