#!/usr/bin/env bash
# bench/start.sh PORT ORIGIN_PORT: the node in the foreground, as the driver of the peers starts it. Environment:
#   RUN      a folder for the configuration, the events and the log        PKI      the driver's certificates
#   PY       the Python to use (python3)                                   FILTERS  active global filters (10)
#   CHECKOUT the node's code (the checkout that this file is in)            ECHO     its port of gRPC, WebSocket
#   MORE     a file with further sections                                   KEYS     further keys of the path map
#   EVENTS   where events go (events.jsonl)
# Nothing is turned off for the measurement: strict reading, limits, deadlines, verification both ways, events to a file.
set -euo pipefail
port=${1:?usage: start.sh PORT ORIGIN_PORT}
origin=${2:?usage: start.sh PORT ORIGIN_PORT}
pki=${PKI:?the folder of the certificates}
here=${CHECKOUT:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}
run=${RUN:?a folder for the files of this run}/edgenode-$port
mkdir -p "$run/journal"
cd "$run"
rm -f events.jsonl

# Ten kinds of filter, told apart by their number. One of them all, number 7, matches the generator's requests and tags
# them; the others have to be looked at and do not match. Each that matches is a reason more in each event.
filter() {
    local n=$1 kind=$(($1 % 10))
    printf '\n[global-filter filter-%s]\n' "$n"
    case $kind in
        0) printf 'action = block\npath = ^/admin/area%s/.*\\.(php|cgi)$\n' "$n" ;;
        1) printf 'action = block\nheader.user-agent = (nikto|sqlmap|scanner-%s)\n' "$n" ;;
        2) printf 'action = block\nheader.cookie = (?i)\\bunion\\s+select\\s+c%s\n' "$n" ;;
        3) printf 'tags = referer-spam\nheader.referer = ^https?://spam%s\\.example/\n' "$n" ;;
        4) printf 'action = block\nip = 198.18.%s.0/24 # benchmark range, RFC 2544\n' "$((n % 256))" ;;
        5) printf 'action = block\nmethod = ^(TRACE|TRACK|DEBUG%s)$\n' "$n" ;;
        6) printf 'action = block\nrelation = and\npath = ^/api/v%s/\nsections = scripts-%s\n' "$n" "$n" ;;
        7) printf 'tags = browser\nrelation = and\nmethod = ^GET$\nheader.user-agent = ^Mozilla/%s\\.0\\b\n' "$((n == 7 ? 5 : n))" ;;
        8) printf 'action = monitor\nrelation = or\nip = 2001:db8:%x::/48\nsections = scripts-%s\n' "$((n % 65536))" "$n" ;;
        9) printf 'action = block\nauthority = ^bench-%s\\.example\\.com$\n' "$n" ;;
    esac
    if [ "$kind" = 6 ] || [ "$kind" = 8 ]; then
        printf '\n[section scripts-%s]\nrelation = or\n' "$n"
        printf 'header.user-agent =\n    ^curl/%s # shell\n    ^python-requests/%s # scripts\n' "$n" "$n"
        printf 'header.cookie = automation=%s\n' "$n"
    fi
}

origin() {
    printf '\n[origin %s]\nservers = https://127.0.0.1:%s\nserver-name = localhost\n' "$1" "$2"
    printf 'certificate = client\ntrust-store = origin\nidle-timeout = 240s\n%s\n' "${3:-}"
}

# A checkout from before HTTP/2 and WebSocket is measured without.
http2=$(grep -qs max_streams "$here"/edgenode/proxy/origin/origin.py && echo 'h2, echo, ws, ' || true)

{
    cat <<INI
[edge]
name   = bench
events = ${EVENTS:-events.jsonl}
$(grep -q access_log "$here/edgenode/config/edge.py" && echo 'access-log = off')

[listener bench]
endpoint           = tcp:$port:interface=127.0.0.1:backlog=4096
server-groups      = bench
keepalive-requests = 100000000
keepalive-timeout  = 300s
max-connections    = 4096
max-connections-per-client = 4096

[certificate server]
chain = $pki/edge-srv.crt
key   = $pki/edge-srv.key

[certificate client]
chain = $pki/edge-cli.crt
key   = $pki/edge-cli.key
authorities = $pki/origin-ca.crt

[trust-store clients]
authorities = $pki/edge-ca.crt

[trust-store origin]
authorities = $pki/origin-ca.crt

[server-group bench]
hosts           = localhost
certificate     = server
mtls            = on
trust-store     = clients
security-policy = bench

[security-policy bench]
path-maps = ${http2}everything

[path-map everything]
origin = origin
${KEYS:-}
INI
    origin origin "$origin"
    if [ -n "$http2" ]; then
        printf '\n[path-map h2]\npath = ^/h2/\norigin = h2\n\n[path-map echo]\npath = ^/bench\\.Echo/\norigin = echo\n'
        printf '\n[path-map ws]\npath = ^/ws$\norigin = ws\n'
        origin h2 "$origin" 'protocol = h2'
        origin echo "${ECHO:-1}" 'protocol = h2'
        origin ws "${ECHO:-1}"
    fi
    for ((n = 0; n < ${FILTERS:-10}; n++)); do filter "$n"; done
    [ -z "${MORE:-}" ] || cat "$MORE"
} >edgenode.ini

export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
exec "${PY:-python3}" -c 'from twisted.scripts.twistd import run; run()' -n --pidfile= edgenode --config edgenode.ini
