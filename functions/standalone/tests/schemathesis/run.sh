#!/usr/bin/env bash
# Tries the API with requests that schemathesis makes from openapi.json: valid, broken, and in sequences. By hand; it takes some minutes.
#
#   functions/standalone/tests/schemathesis/run.sh [further words for schemathesis]
#
# Needs target/debug/courier, Python 3.11 and pip. What it finds is printed and is in target/schemathesis.
set -euo pipefail
cd "$(dirname "$0")/../../../.."
here=functions/standalone/tests/schemathesis
work=target/schemathesis
rm -rf "$work/data"
mkdir -p "$work"
[ -x "$work/python/bin/st" ] || { python3 -m venv "$work/python" && "$work/python/bin/pip" install --quiet schemathesis==4.32.5; }

sed -e 's/:8089/:28089/' -e 's/^operations = .*/operations = ["user.exportPersonalData", "team.schedule", "team.archive", "device.retire"]/' \
  -e 's/^\[clients.example\].*/&\nrequests_per_minute = 1000000\nmax_open_operations = 1000000/' examples/local/courier.toml > "$work/courier.toml"
target/debug/courier simulate-graph --listen 127.0.0.1:28089 --script examples/local/graph.toml > "$work/graph.log" 2>&1 &
graph=$!
COURIER_LOG=warn target/debug/courier serve --config "$work/courier.toml" --data "$work/data" --listen 127.0.0.1:28080 > "$work/serve.log" 2>&1 &
serve=$!
trap 'kill $graph $serve' EXIT
until curl --silent --fail http://127.0.0.1:28080/readyz > "$work/ready"; do kill -0 $serve && sleep 0.2; done

# Not checked: that what the schema allows is accepted. Which origins a client may call, that a deadline lies ahead and a SAS ends after it, and
# what only an operator may ask are rules that no schema says.
cd "$work"
python/bin/st --config-file "../../$here/schemathesis.toml" run http://127.0.0.1:28080/openapi.json --checks all \
  --exclude-checks positive_data_acceptance --phases examples,coverage,fuzzing,stateful --report junit --report-dir report "$@"
