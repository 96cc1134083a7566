#!/bin/sh
# Fails with those lines of a configuration fragment that a kernel's .config does not have: unmet.sh FRAGMENT CONFIG
# Kconfig drops in silence what depends on something else.
set -eu
lines=$(grep -E '^(CONFIG_|# CONFIG_.* is not set$)' "$1" | while read -r line; do
    case $line in
    '# '*) ! grep -q "^$(echo "$line" | cut -d' ' -f2)=" "$2" ;;
    *) grep -qxF -- "$line" "$2" ;;
    esac || echo "$line"
done)
if [ -n "$lines" ]; then
    printf '%s: Linux does not take these lines:\n%s\n' "$1" "$lines" >&2
    exit 1
fi
