# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Reads environment.sh of $clone; fails where that is no shell script. Sets $site, its path.
#
# Modules and conda read variables that are not set, and have commands that fail. No function: what
# is declared in one is gone at its end.

site=$clone/jobs/environment.sh
bash -n "$site" || return
options_before_site=$-
set +eu
# shellcheck source=environment.sh
source "$site"
set +eu
case $options_before_site in
    *e*) set -e ;;
esac
case $options_before_site in
    *u*) set -u ;;
esac
