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
rm -rf "$work/data" "$work"/*.log
mkdir -p "$work"
[ -x "$work/python/bin/st" ] || { python3 -m venv "$work/python" && "$work/python/bin/pip" install --quiet schemathesis==4.32.5; }

# Waits until the process has written an address into its log, and returns it: it listens at a port that was free.
address() {
  until grep --no-messages --only-matching --max-count=1 "$3" "$2" | head -n 1 | grep --only-matching '127[0-9.:]*'; do
    kill -0 "$1"
    sleep 0.2
  done
}

target/debug/courier simulate-graph --listen 127.0.0.1:0 --script examples/local/graph.toml > "$work/graph.log" 2>&1 &
graph=$!
trap 'kill $graph' EXIT
at=$(address $graph "$work/graph.log" 'Graph at http://127[0-9.:]*')
all=$(find shared/courier-core/catalogue -name '*.toml' ! -name '*.sim.toml' -exec grep --no-filename --max-count=1 '^name = ' {} + |
  cut -d ' ' -f 3 | sort | paste -s -d ,)
sed -e "s/127.0.0.1:8089/$at/" -e "s/^operations = .*/operations = [$all]/" \
  -e 's/^\[clients.example\].*/&\nrequests_per_minute = 1000000\nmax_open_operations = 1000000/' examples/local/courier.toml > "$work/courier.toml"
COURIER_LOG=info,access=off target/debug/courier serve --config "$work/courier.toml" --data "$work/data" --listen 127.0.0.1:0 > "$work/serve.log" 2>&1 &
serve=$!
trap 'kill $graph $serve' EXIT
at=$(address $serve "$work/serve.log" 'serving.*address=127[0-9.:]*')

# Not checked: that what the schema allows is accepted. Which origins a client may call, that a deadline lies ahead and a SAS ends after it, and
# what only an operator may ask are rules that no schema says.
cd "$work"
python/bin/st --config-file "../../$here/schemathesis.toml" run "http://$at/openapi.json" --checks all \
  --exclude-checks positive_data_acceptance --phases examples,coverage,fuzzing,stateful --report junit --report-dir report "$@"
