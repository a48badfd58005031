# The commands of this project. `just` without an argument lists them; each also works when it is typed by hand.

# List the recipes.
default:
    @just --list

# The first tier: needs only Rust and a C compiler.
test:
    cargo test

# All tests: also needs Python 3.11 with pip, and installs what it needs under target/.
test-all:
    cargo test --workspace --features second-tier

# Formatting and lints, as they must be before a change lands.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    cargo clippy --workspace --all-targets --features second-tier --locked -- -D warnings

# Three operations from request to verified callback on a simulated Graph.
demo:
    cargo run --locked -- demo --once

# Licences, sources, duplicates and who may depend on whom (deny.toml). Needs cargo-deny.
check-deps:
    cargo deny --locked check -D warnings bans licenses sources

# Fuzz one target of fuzz/targets.
fuzz target executions="10000000":
    fuzz/run {{target}} {{executions}}
