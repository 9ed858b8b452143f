#!/usr/bin/env bash
# Builds the site into build/site; a link to nothing, or a name without a docstring's page, is an error.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=build/site-venv
[[ -x $venv/bin/mkdocs ]] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet mkdocs==1.6.1 mkdocs-material==9.8.2 mkdocstrings-python==2.0.11 nbconvert==7.17.2
"$venv/bin/python" scripts/stage_site.py build/site-pages
NO_MKDOCS_2_WARNING=1 "$venv/bin/mkdocs" build --strict --quiet
echo "Written to build/site: open build/site/index.html"
