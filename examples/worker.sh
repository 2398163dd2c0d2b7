#!/bin/sh
# A worker of one instrument over REST, in POSIX shell. It needs curl and jq.
#
#   sh worker.sh http://127.0.0.1:8000 SESSION_ID [WORKER]
#
# ALCHEMY_TOKEN holds a token where the server wants one. With UNTIL_EMPTY=1 it ends when nothing is
# left to do. Replace measure(); everything else may stay.
set -eu
LC_ALL=C; export LC_ALL
url=$1/api/v1/sessions/$2/experiments/staged
worker=${3:-shell-1}
lease_s=60

own=$(mktemp -d)
beater=
trap 'kill $beater 2>/dev/null || :; rm -rf "$own"' EXIT
trap 'exit 130' INT TERM
(umask 077; echo "Content-Type: application/json"
 [ -z "${ALCHEMY_TOKEN:-}" ] || echo "Authorization: Bearer $ALCHEMY_TOKEN") > "$own/headers"  # not in the list of processes

measure() {  # the inputs as JSON -> a number; a failure says why on stderr
    x=$(echo "$1" | jq .x) y=$(echo "$1" | jq .y)
    awk -v x="$x" -v y="$y" 'BEGIN { printf "%.6f", -(x - 0.3) ^ 2 - (y - 0.7) ^ 2 }'
}

new_key() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }

send() {  # PATH BODY: sends it until it is answered, always under the same key, and prints the answer
    key=$(new_key)
    while :; do
        code=$(curl -sS -m 60 -o "$own/answer" -w '%{http_code}' -H "@$own/headers" -H "Idempotency-Key: $key" \
            -d "$2" "$url/$1" 2>>"$own/errors") || code=000
        case $code in
            2??) cat "$own/answer"; return 0 ;;
            000|429|5??) sleep 1 ;;  # nobody there, or busy: whether it arrived is not known, the key sees to that
            *) cat "$own/answer" >&2; echo >&2; return 1 ;;
        esac
    done
}

beat() {  # ID ATTEMPT: says every quarter of the lease that somebody is still at it
    while sleep $((lease_s / 4)); do
        curl -sS -m 10 -o "$own/beat" -H "@$own/headers" -d "{\"worker\": \"$worker\", \"attempt\": $2}" "$url/$1/heartbeat" || :
    done
}

while :; do
    wait_s=20; [ -z "${UNTIL_EMPTY:-}" ] || wait_s=0
    claimed=$(send claim "{\"n\": 1, \"worker\": \"$worker\", \"lease_s\": $lease_s, \"wait_s\": $wait_s}")
    one=$(echo "$claimed" | jq -c '.experiments[0] // empty')
    if [ -z "$one" ]; then
        [ -z "${UNTIL_EMPTY:-}" ] || exit 0
        continue
    fi
    id=$(echo "$one" | jq -r .id) attempt=$(echo "$one" | jq .attempt)
    beat "$id" "$attempt" >/dev/null 2>&1 & beater=$!
    if value=$(measure "$(echo "$one" | jq -c .inputs)" 2>"$own/why"); then
        end=complete said="{\"worker\": \"$worker\", \"attempt\": $attempt, \"output\": $value}"
    else
        end=fail said=$(jq -nc --arg worker "$worker" --argjson attempt "$attempt" --rawfile why "$own/why" \
            '{worker: $worker, attempt: $attempt, kind: "measure", message: $why}')
    fi
    kill "$beater" 2>/dev/null || :
    beater=
    send "$id/$end" "$said" > /dev/null || echo "$id was not taken" >&2
    echo "$id $end ${value:-}"
done
