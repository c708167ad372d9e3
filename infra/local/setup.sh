#!/usr/bin/env bash
# Makes .venv: the locked packages, compiled, and Penstock itself (editable). Under a second when
# it is in place. `EXTRAS="gcp aws"` adds extras of setup.py, `EXTRAS=all` the whole lock; extras
# once added stay until .venv is removed.
set -euo pipefail
cd "$(dirname "$0")/../.."
unset PYTHONDONTWRITEBYTECODE PYTHONPATH VIRTUAL_ENV

readonly stamp=.venv/penstock-setup
say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 2; }

wanted_stamp() {
  printf '%s\n%s\n' "$PWD" "$1"
  cat infra/local/setup.sh setup.py requirements-runtime.txt requirements.txt \
    requirements-overrides.txt | { sha256sum 2>/dev/null || shasum -a 256; }
}

had=$(sed -n 2p "$stamp" 2>/dev/null || true)
extras=$(printf '%s\n' ${had//,/ } ${EXTRAS:-} | tr ', ' '\n\n' | sort -u | paste -sd, - | sed 's/^,//')
if [[ -f $stamp && $(cat "$stamp") == "$(wanted_stamp "$extras")" ]] &&
  .venv/bin/python -c '' 2>/dev/null; then
  exit 0
fi

mkdir -p .tools
if command -v flock >/dev/null; then # two makes at once would install into one folder
  exec 9>.tools/setup.lock
  flock 9
fi

find_python() {
  local name
  for name in "${PYTHON:-}" python3.11 python3 python; do
    [[ -n $name ]] && command -v "$name" >/dev/null || continue
    if [[ $("$name" -c 'import sys; print(*sys.version_info[:2])' 2>/dev/null) == "3 11" ]]; then
      "$name" -c 'import sys; print(sys.executable)'
      return
    fi
  done
  die "Python 3.11 must be on PATH; found none; install it, or say make PYTHON=/path/to/python3.11"
}

# uv does not read pip's configuration: whoever set an index for pip, and none for uv, meant it for
# this, too.
follow_pip() {
  local list value
  list=$("$1" -m pip config list 2>/dev/null || true)
  setting() { sed -n "s/^global\\.$1='\\(.*\\)'\$/\\1/p" <<<"$list"; }
  if [[ -n ${UV_CONFIG_FILE:-} || -e ${XDG_CONFIG_HOME:-${HOME:-}/.config}/uv/uv.toml ||
    -e /etc/uv/uv.toml ]]; then
    return
  fi
  if [[ -z ${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-} ]]; then
    value=${PIP_INDEX_URL:-$(setting index-url)}
    [[ -z $value ]] || export UV_DEFAULT_INDEX=$value
  fi
  if [[ -z ${UV_INDEX:-}${UV_EXTRA_INDEX_URL:-} ]]; then
    value=${PIP_EXTRA_INDEX_URL:-$(setting extra-index-url)}
    [[ -z $value ]] || export UV_INDEX=${value//\\n/ }
  fi
  if [[ -z ${SSL_CERT_FILE:-} ]]; then
    value=${PIP_CERT:-$(setting cert)}
    [[ -z $value ]] || export SSL_CERT_FILE=$value
  fi
}

python=$(find_python)
follow_pip "$python"

uv=.tools/uv/bin/uv
if ! "$uv" --version >/dev/null 2>&1; then
  if command -v uv >/dev/null && uv --version >/dev/null 2>&1; then
    uv=$(command -v uv)
  else
    say "installing uv into .tools/uv"
    "$python" -m venv --clear .tools/uv ||
      die "Python's venv module must work; it failed (Debian: install python3.11-venv)"
    .tools/uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
      -r infra/local/requirements-uv.txt
  fi
fi
export UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=${UV_LINK_MODE:-hardlink}
[[ -t 2 ]] || export UV_NO_PROGRESS=1

if ! .venv/bin/python -c '' 2>/dev/null; then
  "$uv" venv --quiet --clear --python "$python" .venv
fi

lock=requirements-runtime.txt
if [[ ,$extras, == *,all,* ]]; then
  lock=requirements.txt
elif [[ -n $extras ]]; then
  lock=.tools/requirements-extras.txt
  known=$("$python" - <<'PY'
import ast, pathlib
tree = ast.parse(pathlib.Path("setup.py").read_text())
found = [n.value for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "EXTRAS"]
print(" ".join(ast.literal_eval(found[0])))
PY
)
  for extra in ${extras//,/ }; do
    [[ " $known " == *" $extra "* ]] ||
      die "EXTRAS must name extras of setup.py; got '$extra'; choose from: $known all"
  done
  # shellcheck disable=SC2046 # one --extra a word
  "$uv" pip compile --quiet setup.py $(printf -- '--extra %s ' dev kafka ${extras//,/ }) \
    --constraint requirements.txt --override requirements-overrides.txt \
    --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o "$lock"
fi

rm -f "$stamp" # from here on a broken-off setup is seen as none
say "installing $(grep -c '^[a-z0-9].*==' "$lock") locked packages into .venv"
"$uv" pip sync --quiet --python .venv/bin/python --require-hashes --compile-bytecode "$lock"
# A plain path entry ("compat") instead of an import hook: `penstock --help` starts faster.
"$uv" pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation \
  --compile-bytecode --config-settings editable_mode=compat --editable .
.venv/bin/python -m compileall -q beam_pipelines transforms runners schemas
wanted_stamp "$extras" >"$stamp"
say "ready: .venv/bin/penstock"
