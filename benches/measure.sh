#!/bin/sh
# Counts system calls, bytes, page faults and instructions, and prints a table of them.
# Needs strace and valgrind. Arguments go on to `versus measure`: --quick, --engines, transactions, open, ...
set -eu
cd "$(dirname "$0")/versus"
for tool in strace valgrind; do
    command -v "$tool" > /dev/null || { echo "measure.sh: $tool is needed" >&2; exit 1; }
done
exec cargo run --release --quiet -- measure "$@"
