#!/bin/sh
# Make the private environment: private_environment.sh PYTHON FOLDER run|dev
# run: the program and what it needs. dev: also every tool of `make test`.
set -eu

python=$1
folder=$2
what=$3

say() { printf '%s\n' "$*" >&2; }

if ! command -v "$python" >/dev/null 2>&1; then
    say "error: no $python on PATH"
    say "hint: apt-get install python3 python3-venv, or: make PYTHON=/path/to/python3.11"
    exit 5
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    say "error: $("$python" --version) is too old: vfioctl needs Python 3.11 or newer"
    say "hint: make PYTHON=/path/to/python3.11"
    exit 5
fi
# Debian ships venv without ensurepip until python3-venv is installed.
if ! [ -x "$folder/bin/pip" ] && ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "python3-venv is missing: installing it with apt-get"
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq || say "apt-get update failed; trying with the lists that are here"
        apt-get install -y -qq --no-install-recommends python3-venv >&2
    else
        say "error: $python cannot make an environment with pip in it (no ensurepip)"
        say "hint: as root: apt-get install python3-venv, then run make again"
        exit 5
    fi
fi

if ! [ -x "$folder/bin/pip" ]; then
    say "making $folder with $("$python" --version)"
    "$python" -m venv "$folder"
fi
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
pip="$folder/bin/python -m pip"
if [ "$what" = dev ]; then
    # Dependency groups (PEP 735) came with pip 25.1.
    $pip install -qq 'pip>=25.1'
    say "installing vfioctl and the development tools"
    $pip install -qq --editable . --group dev
else
    say "installing vfioctl"
    $pip install -qq --editable .
fi
