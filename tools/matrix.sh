#!/usr/bin/env bash
# matrix.sh [BUILD_DIR] [short|full]: runs the tests again under each configuration (src/base/knobs.h, plugins, huge
# pages) and prints a table. short (default): the areas that a knob touches, one process each. full: all of ctest.
# BUILD_DIR (default build/dev) must be built with GYR_FAULTS. MATRIX_ONLY=word: only configurations with it in the name.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
build=$(realpath "${1:-build/dev}") mode=${2:-short}
case $mode in short | full) ;; *) echo "usage: matrix.sh [BUILD_DIR] [short|full]" >&2; exit 2 ;; esac
results=$build/matrix
rm -rf "$results"; mkdir -p "$results"
jobs=$(nproc)
export build results

levels() {  # SIMD levels of this machine, but the one that is in use anyway
  python3 - "$build/libgyr.so" <<'END'
import ctypes, json, sys
library = ctypes.CDLL(sys.argv[1])
library.gyr_build_info.restype = ctypes.c_char_p
info = json.loads(library.gyr_build_info())
print(*[level for level in info["simd_available"] if level != info["simd"]])
END
}

# One area's executable as one process; its JUnit file is the result, and a crash leaves none.
area() {
  local name=$1 area=$2 filter=$3
  timeout 300 "$build/tests/test_$area" --gtest_brief=1 --gtest_filter="$filter" \
    --gtest_output="xml:$results/$name-$area.xml" > "$results/$name-$area.log" 2>&1
}
export -f area

total_failed=0
printf '%-26s %8s %8s %8s\n' configuration passed failed seconds
# run NAME "COMMAND" "area[:filter] ...": runs the tests by way of the command; the areas are those of the short form.
run() {
  local name=$1 by=$2 areas=$3 start=$SECONDS passed=0 failed=0 p f a
  [[ $name == *${MATRIX_ONLY:-}* ]] || return 0
  if [ "$mode" = full ]; then
    # shellcheck disable=SC2086
    $by ctest --test-dir "$build" -j "$jobs" --output-on-failure --output-junit "$results/$name-all.xml" \
      > "$results/$name-all.log" 2>&1
    areas=all
  else
    for a in $areas; do
      [[ $a == *:* ]] && f=${a#*:} || f='*'
      printf '%s\0' "$name" "${a%%:*}" "$f"
    done | $by xargs -0 -n 3 -P "$jobs" bash -c 'area "$@"' area
  fi
  for a in $areas; do
    if read -r p f < <(python3 tools/junit_totals.py "$results/$name-${a%%:*}.xml" 2>/dev/null); then
      passed=$((passed + p)) failed=$((failed + f))
    else
      failed=$((failed + 1))
    fi
    [ "${f:-1}" = 0 ] || failures+=("$name: $results/$name-${a%%:*}.log")
  done
  total_failed=$((total_failed + failed)) total_passed=$((total_passed + passed))
  printf '%-26s %8d %8d %8d\n' "$name" "$passed" "$failed" $((SECONDS - start))
}
failures=() total_passed=0

# The index's recall and memory figures, and what takes it seconds, hold whatever the configuration.
index="index:-*Recall*:*EveryVector*:*SameInput*:*TheSameForAnyThreads*:*IsWhatWasEstimated*:*TakeAboutWhat*:*ABudget*:*GroupsFar*"
index+=":All/Stored.ManyAtOnce*:All/Stored.Scores*:All/FilterTest*:All/LiveTest*:Live.Endless*:Inflow.OtherWriters*:*Damaged*"
numeric="kernels $index model pipeline bundle cache"
parallel="exec $index model workflow bundle capi"
keyed="store table cache workflow $index bundle capi"
for level in $(levels); do run "simd-$level" "env GYR_TEST_SIMD=$level" "$numeric"; done
run threads-1 "env GYR_TEST_THREADS=1" "$parallel"
run threads-16 "env GYR_TEST_THREADS=16" "$parallel"
run hash-constant "env GYR_TEST_HASH=constant" "$keyed"
run capacity-1 "env GYR_TEST_CAPACITY=1" "$keyed model pipeline exec"
run mmap-off "env GYR_TEST_MMAP=off" "io model bundle capi"
# The library asks for no huge pages; a host may have them on or off for its whole process.
run huge-pages-always "env GLIBC_TUNABLES=glibc.malloc.hugetlb=1" "table cache bundle"
cat > "$results/without-huge-pages" <<'END'
#!/usr/bin/env python3
import ctypes, os, sys
if ctypes.CDLL(None).prctl(41, 1, 0, 0, 0):  # PR_SET_THP_DISABLE, kept by children and through exec
    sys.exit("prctl: huge pages cannot be switched off here")
os.execvp(sys.argv[1], sys.argv[1:])
END
chmod +x "$results/without-huge-pages"
run huge-pages-never "$results/without-huge-pages" "table cache bundle"
# Broken plugins: what goes wrong is tested in capi and device; everything else must not notice.
for way in no_note note_abi table_abi no_symbol refuses incomplete missing_dependency lost; do
  run "plugin-$way" "env GYR_BACKEND_DIR=$build/tests/device/fakes/$way" "exec capi"
done

for f in ${failures+"${failures[@]}"}; do
  echo "FAILED $f"
  grep -E '^\[ *FAILED|Failure$' -A4 "${f#*: }" 2>/dev/null | head -30
done
printf '%d passed, %d failed\n' "$total_passed" "$total_failed"
[ "$total_failed" = 0 ] && [ "$total_passed" -gt 0 ]
