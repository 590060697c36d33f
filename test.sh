#!/usr/bin/env bash
# Installs what is missing, builds, runs every test, and ends in one line: N passed, N failed.
set -uo pipefail
cd "$(dirname "$0")"
jobs=$(nproc)
passed=0 failed=0
results=build/test-results
note() { printf '\n== %s\n' "$*"; }

# A step that is no test suite of its own counts only when it fails.
step() {
  local name=$1; shift
  note "$name"
  "$@" && return 0
  echo "FAILED: $name"
  failed=$((failed + 1))
  return 1
}

# Runs a command with its output in a log; shows the end of it on failure.
logged() {
  local log=$results/$1.log; shift
  "$@" > "$log" 2>&1 && return 0
  grep -E 'error|FAILED' -A5 "$log" | head -40
  tail -5 "$log"
  return 1
}

# Adds a JUnit file's tests to the totals.
count() {
  local file=$1 p f
  if ! read -r p f < <(python3 tools/junit_totals.py "$file"); then
    echo "FAILED: no results in $file"; failed=$((failed + 1)); return
  fi
  passed=$((passed + p)) failed=$((failed + f))
}

finish() {
  printf '\n%d passed, %d failed\n' "$passed" "$failed"
  [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
  exit
}

step "dependencies" tools/install_deps.sh test || finish
rm -rf "$results"; mkdir -p "$results"

suite() {  # suite NAME PRESET [ctest arguments]: build a preset and run its tests
  local name=$1 preset=$2 still=(); shift 2
  # Older ThreadSanitizers abort where the kernel randomises addresses widely; not every container allows this.
  [ "$preset" = tsan ] && setarch -R true 2>/dev/null && still=(setarch -R)
  step "configure $name" logged "$name-configure" cmake --preset "$preset" -DGYR_ALL_TESTS="${ALL_TESTS:-ON}" || return
  # shellcheck disable=SC2086
  step "build $name" logged "$name-build" "${still[@]}" cmake --build "build/$preset" -j "$jobs" ${TARGETS:+--target $TARGETS} || return
  note "test $name"
  "${still[@]}" ctest --test-dir "build/$preset" -j "$jobs" --output-on-failure --output-junit "$PWD/$results/$name.xml" "$@" |
    grep -vE '^ *[0-9]+/[0-9]+ Test .* Passed|^ *Start ' || true
  count "$results/$name.xml"
}

suite dev dev

# The tests again under each configuration: SIMD levels, threads, a constant hash, capacity 1, no mmap, broken plugins.
note "matrix"
matrix=$(tools/matrix.sh build/dev short); echo "$matrix"
if [[ ${matrix##*$'\n'} =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
  passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2]))
else
  echo "FAILED: matrix"; failed=$((failed + 1))
fi

# Everything that runs on several threads under ThreadSanitizer (not the recall figures of the index, hit rates, sizes
# and damaged files: one thread, minutes), and every suite under Address- and UBSanitizer (less what counts figures or
# allocations: slow, and nothing new).
figures='cache/Eviction.HitRates|table/TableEstimate|index/(Graph|Lists)/Approximate.SearchWithScratchAllocatesNothing'
figures+='|index/Live.CompactionIsTheSame|index/(Graph|Lists)/Approximate.GroupsFar'
TARGETS="test_exec test_store test_table test_cache test_workflow test_index test_model test_bundle test_stress" \
  suite tsan tsan -R '^((exec|store|table|cache|workflow/Graph|model|bundle|stress|index/((Graph|Lists)/Approximate|Filter|InPlaceFile))[./]|index/(Live|All/LiveKindTest)[.](Changes|Deletes)Beside)' \
  -E "^($figures|index/(Graph|Lists)/Approximate.RandomOperations|.*Damage|.*SurvivesSaving)"
suite asan asan -E "^($figures)"

# The kernels' NEON level and what stands on them, compiled for 64-bit Arm and run under qemu, where more than a choice
# would take many minutes.
note "dependencies of arm64"
if logged arm64-dependencies tools/install_deps.sh arm64; then
  ALL_TESTS=OFF TARGETS="gyr test_kernels test_index" \
    suite arm64 arm64 -R '^kernels[./]|^index/(Codes|Exact|Rebuild|Partitions|Filter|IdMap|Kmeans|Lists.K)'
else
  echo "SKIPPED: arm64 (the cross compiler, qemu-user or the libraries cannot be installed here)"
fi

note "python"
venv=build/venv
if step "virtual environment" python3 -m venv "$venv" &&
   step "python packages" "$venv/bin/pip" install -q --disable-pip-version-check -e 'bindings/python[test]'; then
  GYR_LIBRARY="$PWD/build/dev/libgyr.so" "$venv/bin/python" -m pytest -q bindings/python/tests \
    --junitxml "$results/python.xml"
  count "$results/python.xml"
fi
finish
