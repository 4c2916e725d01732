#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Compares the C sources with .clang-format and looks for mistakes with .clang-tidy.
#
#   jobs/check-style.sh          tells
#   jobs/check-style.sh --fix    formats the sources in place, then tells what clang-tidy finds
set -euo pipefail
cd "$(dirname "$0")/.."

case ${1:-} in
    '') formatting=(--dry-run --Werror) ;;
    --fix) formatting=(-i) ;;
    *)
        sed -n '3,/^set /s/^# \{0,1\}//p' "$0" | sed '$d' >&2
        exit 64
        ;;
esac

jobs/install-packages.sh build tests style
mapfile -t sources < <(git ls-files --cached --others --exclude-standard '*.c' '*.h' '*.cu')
mapfile -t compiled < <(printf '%s\n' "${sources[@]}" | grep '\.c$')

clang-format "${formatting[@]}" "${sources[@]}"

cmake -B build/style -DCMAKE_EXPORT_COMPILE_COMMANDS=ON >/dev/null
printf '%s\n' "${compiled[@]}" |
    xargs -n 4 -P "$(nproc)" clang-tidy -p build/style --quiet --warnings-as-errors='*'
echo "style: ${#sources[@]} files are as they should be"
