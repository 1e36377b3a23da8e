# SPDX-License-Identifier: BSD-2-Clause
# `just` alone lists what there is. What is marked [no-cd] runs where you stand, so that an agent's own directory with its
# .env is enough: `just -f /path/to/warden/justfile setup-db`. Arguments may follow a `--` or not, as the guide writes them.

set positional-arguments

here := justfile_directory()
python := quote(if path_exists(here / ".venv/bin/python") == "true" { here / ".venv/bin/python" } else { "python3" })
warden := quote(if path_exists(here / ".venv/bin/warden") == "true" { here / ".venv/bin/warden" } else { "warden" })

# just hands on a leading `--` as it was typed
drop_dashes := 'if [ "${1-}" = -- ]; then shift; fi'

[private]
default:
    @{{ quote(just_executable()) }} --justfile {{ quote(justfile()) }} --list --unsorted

# set up one part of the agent whose .env is here: just setup -- --step llama-cpp
[group('an agent, from its own directory')]
[no-cd]
setup *args:
    @{{ drop_dashes }}; exec {{ warden }} setup "$@"

# set up the agent's database jail
[group('an agent, from its own directory')]
[no-cd]
setup-db *args:
    @{{ drop_dashes }}; exec {{ warden }} setup --step db "$@"

# set up the agent's git jail
[group('an agent, from its own directory')]
[no-cd]
setup-git *args:
    @{{ drop_dashes }}; exec {{ warden }} setup --step git "$@"

# set up the agent's web jail
[group('an agent, from its own directory')]
[no-cd]
setup-cms *args:
    @{{ drop_dashes }}; exec {{ warden }} setup --step cms "$@"

# show what would change on the hosts, and why
[group('hosts')]
[no-cd]
plan *args:
    @{{ drop_dashes }}; exec {{ warden }} plan "$@"

# carry the plan out
[group('hosts')]
[no-cd]
apply *args:
    @{{ drop_dashes }}; exec {{ warden }} apply "$@"

# show which agents there are and how they are
[group('hosts')]
[no-cd]
status *args:
    @{{ drop_dashes }}; exec {{ warden }} status "$@"

# try Warden on a FreeBSD host that exists in memory only
[group('hosts')]
[no-cd]
demo *args:
    @{{ drop_dashes }}; exec {{ warden }} demo "$@"

# run the tests, all processors at once; what follows goes to pytest
[group('development')]
test *args:
    @{{ drop_dashes }}; exec {{ python }} -m pytest -n auto "$@"

# run the tests with many more examples, and the long ones
[group('development')]
test-exhaustive *args:
    @{{ drop_dashes }}; WARDEN_EXHAUSTIVE=1 exec {{ python }} -m pytest -n auto "$@"

# check style, format, types, the direction of imports and the doors
[group('development')]
lint:
    {{ python }} -m ruff check .
    {{ python }} -m ruff format --check .
    {{ python }} -m mypy
    {{ python }} -c 'from importlinter.cli import lint_imports_command as main; main()' --no-logo
    {{ python }} tools/check_doors.py

# measure how long a plan takes, by the number of agents
[group('development')]
bench-plan *args:
    @{{ drop_dashes }}; exec {{ python }} bench/plan.py "$@"

# measure Warden beside ansible-core and pyinfra over SSH, on fake hosts; the first time installs those into .bench/
[group('development')]
bench-ssh *args:
    @{{ drop_dashes }}; exec {{ python }} -m bench.ssh "$@"
