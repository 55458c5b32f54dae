#!/bin/sh
# Makes this machine a host of a Corral fleet, which serves this script:
#
#     curl -fsS https://fleet.example/join.sh | sudo sh -s -- TOKEN [options of `corral-agent join`]
#
# Corral and all that it needs come from the fleet itself, from the server whose key the token names. They go into
# $CORRAL_PREFIX (/opt/corral). Whatever fails, the same line may be used again; what is done already is not done twice.
set -eu

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "not joined: $1"
    shift
    for line in "$@"; do say "    $line"; done
    exit 1
}

check_machine() {
    [ "$(id -u)" = 0 ] || fail "only root can install Corral here: put sudo before sh"
    name=$(sed -n 's/^PRETTY_NAME="\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' /etc/os-release 2>/dev/null || true)
    grep -Eq '^(ID|ID_LIKE)="?([a-z]+ )*debian( |"|$)' /etc/os-release 2>/dev/null ||
        fail "this machine runs ${name:-an unknown system}, and this script is for Debian and its kin:" \
            "install Corral's wheel by hand, then run: corral-agent join TOKEN"
    for program in curl python3; do
        command -v "$program" >/dev/null || fail "$program is missing. Install it, then use the same line again:" \
            "apt-get install --no-install-recommends curl python3-venv"
    done
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "Python 3.11 or later is needed, and this machine has $(python3 --version 2>&1)"
    python3 -c 'import ensurepip, venv' 2>/dev/null ||
        fail "python3-venv is missing. Install it, then use the same line again:" \
            "apt-get install --no-install-recommends python3-venv"
}

# Writes what the token says into $work: the address, the key of the server as curl has it, what proves the token.
read_token() {
    python3 - "$1" "$work" <<'PYTHON' || fail "the token is not whole, or is none: copy the whole line again"
import base64, hashlib, json, pathlib, sys

word, work = sys.argv[1], pathlib.Path(sys.argv[2])
body = word.removeprefix("corral1.")
try:
    data = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    if body == word or data[:4] != hashlib.sha256(data[4:]).digest()[:4]:
        sys.exit(1)
    token = json.loads(data[4:])
    (work / "url").write_text(token["url"].rstrip("/"))
    (work / "pin").write_text(base64.b64encode(bytes.fromhex(token.get("pin") or "")).decode())
    (work / "proof").write_text(json.dumps({"token": token["id"], "secret": token["secret"]}))
except (ValueError, KeyError, TypeError, AttributeError):
    sys.exit(1)
PYTHON
    url=$(cat "$work/url")
    pin=$(cat "$work/pin")
    case $url in
    https://*) ;;
    http://127.0.0.1 | http://127.0.0.1[:/]* | http://localhost | http://localhost[:/]*) ;;
    *) fail "$url is not an https address, so another machine could pose as the fleet" ;;
    esac
}

fetch() {
    say "fetching the fleet's release from $url"
    # The key itself is known, whoever has signed it: curl ends before it sends anything if it is another.
    set -- --silent --show-error --connect-timeout 15 --speed-limit 1000 --speed-time 60 \
        --header 'Content-Type: application/json' --data "@$work/proof" --output "$work/answer" --write-out '%{http_code}'
    [ -z "$pin" ] || set -- "$@" --insecure --pinnedpubkey "sha256//$pin"
    code=0
    status=$(curl "$@" "$url/api/v1/join/release" 2>"$work/curl") || code=$?
    case $code in
    0) ;;
    90) fail "$url has another certificate key than the token expects: if the certificate has a new key, have an" \
        "administrator make a new token; otherwise someone may intercept the connection" ;;
    *) fail "the fleet at $url can't be reached from here: $(sed 's/^curl: ([0-9]*) //' "$work/curl" | head -n 1)" ;;
    esac
    if [ "$status" != 200 ]; then
        fail "$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["message"])' "$work/answer" 2>/dev/null ||
            echo "$url is not a fleet of this release: it answered $status")"
    fi
    mkdir "$work/wheels"
    tar -xf "$work/answer" -C "$work/wheels" && [ -s "$work/wheels/requirements.txt" ] ||
        fail "what $url sent was cut off: use the same line again"
}

# Whole or not there: the stamp says which release is in it, and is written last.
install_release() {
    wanted=$(sha256sum <"$work/wheels/requirements.txt")
    stamp=$prefix/.corral-release
    if [ -x "$prefix/bin/corral-agent" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then return; fi
    if [ -e "$prefix" ] && [ ! -e "$prefix/pyvenv.cfg" ] && [ -n "$(ls -A "$prefix")" ]; then
        fail "$prefix is there, and is no virtual environment: move it away, or set CORRAL_PREFIX"
    fi
    say "installing it into $prefix"
    rm -f "$stamp"
    python3 -m venv "$prefix" >"$work/said" 2>&1 || fail "no virtual environment can be made in $prefix:" "$(tail -n 3 "$work/said")"
    # From the fleet alone, each file held against the digest that came with it.
    "$prefix/bin/python" -m pip --isolated install --quiet --disable-pip-version-check --no-index --force-reinstall \
        --find-links "$work/wheels" --require-hashes -r "$work/wheels/requirements.txt" >"$work/said" 2>&1 ||
        fail "the fleet's release can't be installed here ($(python3 --version), $(uname -m)):" \
            "$(grep -m 3 ERROR "$work/said" || tail -n 3 "$work/said")" \
            "The control plane's own machine must be alike; else install Corral's wheel by hand, then: corral-agent join TOKEN"
    printf '%s\n' "$wanted" >"$stamp.new"
    mv "$stamp.new" "$stamp"
}

start() {
    if [ ! -d /run/systemd/system ]; then
        say "this machine is not run by systemd: $prefix/bin/corral-agent runs the host"
        return
    fi
    "$prefix/bin/corral" install agent >/dev/null
    systemctl daemon-reload
    systemctl enable --quiet corral-agent
    systemctl restart corral-agent # which VMs outlive
    say "the host runs: systemctl status corral-agent"
}

main() {
    [ $# -gt 0 ] || fail "the token is missing: an administrator's \`corral host add\` prints the whole line"
    prefix=${CORRAL_PREFIX:-/opt/corral}
    check_machine
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    read_token "$1"
    fetch
    install_release
    "$prefix/bin/corral-agent" join "$@" </dev/null || exit 1
    start
}

main "$@" # last, so that half a script does nothing
