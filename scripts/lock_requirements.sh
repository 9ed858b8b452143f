#!/usr/bin/env bash
# Writes requirements.lock: the versions that are installed here, which the tests have run with, each
# with the hashes of its files. Takes what is newer only where pyproject.toml asks for it.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet uv
.venv/bin/pip freeze --exclude-editable | grep -v ' @ ' >"$work/installed.txt"
printf 'scikit-build-core\ncmake\nninja\npip\n' >"$work/build.in"
"$work/venv/bin/uv" pip compile pyproject.toml "$work/build.in" --extra dev --generate-hashes --quiet \
  --python-version 3.11 --python-platform x86_64-unknown-linux-gnu --no-annotate \
  --constraints "$work/installed.txt" --default-index https://pypi.org/simple \
  --custom-compile-command "scripts/lock_requirements.sh" --output-file requirements.lock
