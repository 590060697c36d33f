#!/usr/bin/env bash
# From nothing to served recommendations: installs what is missing, builds, trains on MovieLens 100K, writes
# movielens.gyr and report.html under build/quickstart, and serves the bundle from a C program.
# GYR_ML100K=DIR reads a local copy of the data (ml-100k.inter, .user, .item, plain or .gz).
set -euo pipefail
cd "$(dirname "$0")"
out=build/quickstart
steps= last=$SECONDS
mark() { steps="$steps, \"$1\": $((SECONDS - last))"; last=$SECONDS; }
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

say "1/4 packages"
tools/install_deps.sh build
venv=build/venv
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install -q --disable-pip-version-check -e bindings/python

mark packages
say "2/4 build"
cmake --preset release -DGYR_TESTS=OFF -DGYR_BENCH=OFF > build/quickstart-configure.log
cmake --build build/release -j "$(nproc)" > build/quickstart-build.log || { tail -30 build/quickstart-build.log; exit 1; }
export GYR_LIBRARY="$PWD/build/release/libgyr.so"

mark build
say "3/4 train and evaluate"
"$venv/bin/gyr" demo --out "$out"

mark "train and evaluate"
say "4/4 serve from C: three users, then load, then a new generation while it runs"
build/release/examples/c/example_recommend "$out/movielens.gyr" --users 13,405,655 --seconds 2 --json "$out/latency.json"
build/release/examples/c/example_recommend "$out/movielens.gyr" --users 13 --k 3 --threads "$(nproc)" --seconds 2 \
  --publish "$out/movielens.gyr" | tail -n +7
mark serve
printf '{%s}\n' "${steps#, }" > "$out/steps.json"
"$venv/bin/gyr" demo --out "$out" --add-latency
echo "
bundle  $out/movielens.gyr
report  $out/report.html
figures $out/metrics.json"
