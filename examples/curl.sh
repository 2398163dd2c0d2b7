#!/bin/sh
# The staged workflow with curl alone, from nothing to a suggestion. It needs curl; jq only to pick ids out.
#
#   alchemy-async serve --root lab &
#   sh curl.sh http://127.0.0.1:8000
set -eu
api=${1:-http://127.0.0.1:8000}/api/v1

call() {  # METHOD PATH [BODY]: prints the answer; a refusal is printed too, and ends the script
    curl -sS --fail-with-body -X "$1" -H 'Content-Type: application/json' ${3:+-d "$3"} "$api$2"
    echo
}

echo "# a session, and what may be varied"
session=$(call POST /sessions '{"name": "amide coupling"}' | jq -r .session_id)
call POST "/sessions/$session/variables" '{"name": "x", "type": "real", "min": 0, "max": 1}'
call POST "/sessions/$session/variables" '{"name": "y", "type": "real", "min": 0, "max": 1}'

echo "# two experiments are staged; GET says in which order, and which version of the queue that is"
staged=/sessions/$session/experiments/staged
call POST "$staged/batch" '{"experiments": [{"x": 0.2, "y": 0.6}, {"x": 0.8, "y": 0.1}], "reason": "by hand"}'
queue=$(call GET "$staged")
echo "$queue"

echo "# both are completed in that order; with the version, outputs can't land on other inputs"
version=$(echo "$queue" | jq .queue_version)
call POST "$staged/complete" "{\"outputs\": [0.61, 0.32], \"iteration\": 0, \"queue_version\": $version}"

echo "# or one is claimed and completed by its id, in any order"
call POST "$staged" '{"inputs": {"x": 0.5, "y": 0.5}, "reason": "by hand"}'
one=$(call POST "$staged/claim" '{"n": 1, "worker": "bench-2", "lease_s": 60}' | jq -c '.experiments[0]')
id=$(echo "$one" | jq -r .id)
call POST "$staged/$id/heartbeat" '{"worker": "bench-2"}'
call POST "$staged/$id/complete" '{"worker": "bench-2", "output": 0.74}'

echo "# the next points, and all rows so far"
call POST "/sessions/$session/acquire" '{"strategy": "qEI", "goal": "maximize", "n_suggestions": 2}'
call GET "/sessions/$session/experiments"
call GET "/sessions/$session/state"
