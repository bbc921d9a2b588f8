#!/bin/sh
# Starts the program of its own name in ../libexec with a LibTorch that is on this machine. It is looked for in, in this
# order: $LIBTORCH; what `make setup` fetched (${XDG_CACHE_HOME:-~/.cache}/littlebit); the packages of the python3 in
# the path. Python is not run where its folder is found, and not needed. .ci/bundle puts this into bin/ under each
# program's name and fills in the version.
version=@LIBTORCH_VERSION@
newline='
'

die() {  # die MESSAGE HINT
  printf 'error: %s\nhint: %s\n' "$1" "$2" >&2
  exit 2
}

# --- where this bundle lies: through symbolic links, also where it is found by $PATH -----------------------
self=$0
case $self in */*) ;; *) self=$(command -v -- "$self") || self=./$0 ;; esac
self=$(readlink -f -- "$self"; echo .) && self=${self%"$newline".}
program=${self##*/}
bundle=${self%/*/*}
[ -x "$bundle/libexec/$program" ] || die "$bundle/libexec/$program is missing" "unpack the whole bundle, and leave its folders together"

# --- LibTorch ---------------------------------------------------------------------------------------------------
# The version of the LibTorch in $1: of a wheel (version.py), of a zip archive (build-version beside lib/).
version_in() {
  if [ -f "$1/version.py" ]; then
    sed -n "s/^__version__ *= *['\"]\([^'\"]*\)['\"].*/\1/p" "$1/version.py" | head -n 1
  elif [ -f "$1/build-version" ]; then
    head -n 1 "$1/build-version"
  fi
}
others=
# Whether $1 is a LibTorch of our version; one of another version is remembered for the message.
fits() {
  [ -f "$1/lib/libtorch_cpu.so" ] || return 1
  found=$(version_in "$1")
  case $found in "$version" | "$version"+*) return 0 ;; esac
  others="$others, $1 is ${found:-of an unknown version}"
  return 1
}
# Sets `libtorch` to the one among the packages of the Python installation in $1.
in_python() {
  for packages in "$1"/lib/python3*/site-packages "$1"/lib/python3*/dist-packages "$1"/lib/python3/dist-packages \
    "$1"/lib64/python3*/site-packages "$1"/local/lib/python3*/dist-packages; do
    if fits "$packages/torch"; then libtorch=$packages/torch; return 0; fi
  done
  return 1
}

cache=${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}
libtorch=
if [ -n "${LIBTORCH:-}" ]; then
  [ -f "$LIBTORCH/lib/libtorch_cpu.so" ] || die "LIBTORCH=$LIBTORCH holds no lib/libtorch_cpu.so" "name the folder that holds lib/, as .../site-packages/torch"
  fits "$LIBTORCH" || die "LIBTORCH=$LIBTORCH is LibTorch ${found:-of an unknown version}; this program needs $version" "pip download torch==$version and unpack it, or name another folder"
  libtorch=$LIBTORCH
elif [ -n "$cache" ] && fits "$cache/littlebit/libtorch-$version/torch"; then
  libtorch=$cache/littlebit/libtorch-$version/torch
elif python=$(command -v python3); then
  # As it is named (a virtual environment), where links lead, what is installed for this user; a python3 that is only
  # a script (pyenv) is asked.
  in_python "${python%/*/*}" || in_python "$(p=$(readlink -f -- "$python") && printf %s "${p%/*/*}")" ||
    { [ -n "${HOME:-}" ] && in_python "$HOME/.local"; } ||
    in_python "$("$python" -c 'import sys; print(sys.prefix)' 2>/dev/null)" ||
    in_python "$("$python" -c 'import sys; print(sys.base_prefix)' 2>/dev/null)"
fi
if [ -z "$libtorch" ]; then
  die "no LibTorch $version was found${others}" "pip install torch==$version, or set LIBTORCH to the folder of one (with lib/libtorch_cpu.so)"
fi
libtorch=$(cd -- "$libtorch" && pwd -P; echo .) && libtorch=${libtorch%"$newline".}
case $libtorch in *[:\;]*) die "the loader cannot search $libtorch: ':' and ';' divide its folders" "reach it by a symbolic link of another name, and set LIBTORCH to a folder that holds a copy" ;; esac

# --- start --------------------------------------------------------------------------------------------------------
# NVIDIA's libraries lie beside the wheel's torch/, or in its lib/. This bundle's own are found by the program itself.
path=$libtorch/lib
for folder in "${libtorch%/*}"/nvidia/*/lib; do
  [ -d "$folder" ] && path=$path:$folder
done
case $(version_in "$libtorch") in
  *+cu*)
    for library in libcudart.so.13 libcupti.so.13; do
      missing=$library
      for folder in "$libtorch/lib" "${libtorch%/*}"/nvidia/*/lib /usr/local/cuda/lib64 /usr/local/cuda/extras/CUPTI/lib64; do
        if [ -e "$folder/$library" ]; then
          missing=
          case ":$path:" in *":$folder:"*) ;; *) path=$path:$folder ;; esac
          break
        fi
      done
      [ -z "$missing" ] || ldconfig -p 2>/dev/null | grep -q "$library" || die "$libtorch needs $library, which is not beside it" "pip install nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85"
    done
    ;;
esac
export LD_LIBRARY_PATH="$path${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
# The program would start itself anew for this (core/process.h).
if [ -z "${OMP_WAIT_POLICY+x}${GOMP_SPINCOUNT+x}" ]; then export OMP_WAIT_POLICY=passive; fi
exec "$bundle/libexec/$program" "$@"
