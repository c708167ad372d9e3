#!/usr/bin/env bash
# Resolves setup.py into the locks: everything once, then the runtime at those same versions.
# Existing pins are kept where they still fit; `UPGRADE=1` takes the newest.
set -euo pipefail
cd "$(dirname "$0")/../.."
uv=.tools/uv/bin/uv
[[ -x $uv ]] || uv=uv
# No index URL goes into the files: each installs from the index that its user has configured.
options=(--quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-header)
[[ -z ${UPGRADE:-} ]] || options+=(--upgrade)
export UV_CUSTOM_COMPILE_COMMAND="make lock"

"$uv" pip compile "${options[@]}" setup.py --all-extras \
  --override requirements-overrides.txt -o requirements.txt
"$uv" pip compile "${options[@]}" setup.py --extra dev --extra kafka \
  --override requirements-overrides.txt --constraint requirements.txt -o requirements-runtime.txt
"$uv" pip compile "${options[@]}" infra/local/requirements-uv.in \
  -o infra/local/requirements-uv.txt
