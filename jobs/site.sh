# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Reads environment.sh of $clone; fails where that is no shell script, or ends the shell. Sets $site,
# its path.
#
# Modules and conda read variables that are not set, and have commands that fail. No function: what
# is declared in one is gone at its end.

site=$clone/jobs/environment.sh
bash -n "$site" || return
# shellcheck source=environment.sh
ended=$(set +eu && source "$site" >/dev/null 2>&1; echo no)
if [[ $ended != no* ]]; then
    echo "$site: ends the shell that reads it; take \`exit\` out" >&2
    return 1
fi
options_before_site=$-
set +eu
# shellcheck source=environment.sh
source "$site"
set +euC
case $options_before_site in
    *e*) set -e ;;
esac
case $options_before_site in
    *u*) set -u ;;
esac
