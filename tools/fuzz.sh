#!/bin/sh
# Fuzzes every target for SECONDS of CPU time each: tools/fuzz.sh [SECONDS_PER_TARGET] [JOBS] [TARGET...]
# (defaults 600, 1, all). New inputs go to build/fuzz/corpus/<target>, crashes to build/fuzz/findings/<target>; the
# repository is only read. Prints a table; exits 1 when something was found. A finding becomes, once fixed, a file in
# tests/fuzz/regression/<target>.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-600} jobs=${2:-1}
[ $# -ge 1 ] && shift
[ $# -ge 1 ] && shift
targets=${*:-$(ls tests/fuzz/*_fuzz.cpp | sed 's|.*/||; s|_fuzz.cpp||')}
out=build/fuzz
programs=$(for t in $targets; do echo "fuzz_$t"; done)
if [ -z "${FUZZ_NO_BUILD:-}" ]; then
  cmake --preset fuzz > /dev/null
  # shellcheck disable=SC2086
  nice -n 5 cmake --build $out -j 2 --target $programs > $out/build.log || { tail -30 $out/build.log; exit 2; }
fi

# CPU seconds of a child so far (user and system, in ticks of 1/100 s); fails when it has ended.
cpu_seconds() {
  stat=$(cat "/proc/$1/stat" 2> /dev/null) || return 1
  # shellcheck disable=SC2086
  set -- ${stat##*) }
  echo $(((${12} + ${13}) / 100))
  [ "$1" != Z ]
}

fuzz_one() {
  t=$1
  log=$out/logs/$t.log
  rm -rf "$out/findings/$t"
  mkdir -p $out/logs "$out/corpus/$t" "$out/findings/$t"
  used=0
  : > "$log"
  # libFuzzer ends at a finding, and its own clock is the wall's: go on until the CPU time is used up or 5 are found.
  while [ "$used" -lt "$seconds" ] && [ "$(ls "$out/findings/$t" | wc -l)" -lt 5 ]; do
    dict=tests/fuzz/dict/$t.dict
    [ -e "$dict" ] && dict=-dict=$dict || dict=-verbosity=1
    regression=tests/fuzz/regression/$t
    [ -d "$regression" ] || regression=
    # shellcheck disable=SC2086
    $out/tests/fuzz/fuzz_$t "$out/corpus/$t" "tests/fuzz/corpus/$t" $regression $dict -max_len=8192 -timeout=10 \
      -rss_limit_mb=1024 -malloc_limit_mb=512 -print_final_stats=1 -use_value_profile=1 \
      -artifact_prefix="$out/findings/$t/" >> "$log" 2>&1 &
    pid=$! now=1
    while sleep 1 && seen=$(cpu_seconds $pid); do
      now=$seen  # the last that was seen: the shell may have reaped the process since
      if [ $((used + now)) -ge "$seconds" ]; then kill -TERM $pid 2> /dev/null || true; fi
    done
    wait $pid || true
    used=$((used + now + 1))
  done
  runs=$(awk '/stat::number_of_executed_units/ { n += $2 } END { print n + 0 }' "$log")
  edges=$(awk '{ for (i = 1; i < NF; i++) if ($i == "cov:" && $(i + 1) > most) most = $(i + 1) } END { print most + 0 }' "$log")
  printf '%-12s %8d %12d %8d %9d\n' "$t" "$used" "$runs" "$edges" "$(ls "$out/findings/$t" | wc -l)" > "$out/logs/$t.row"
}

running=0
for t in $targets; do
  fuzz_one "$t" &
  running=$((running + 1))
  if [ $running -ge "$jobs" ]; then wait; running=0; fi
done
wait
printf '%-12s %8s %12s %8s %9s\n' target 'CPU s' executions edges findings
bad=0
for t in $targets; do
  cat "$out/logs/$t.row"
  [ "$(ls "$out/findings/$t" | wc -l)" -eq 0 ] || bad=1
  awk '$3 == 0 { print $1 " did not run"; exit 1 }' "$out/logs/$t.row" || bad=1
done
[ $bad -eq 0 ] || echo "findings lie in $out/findings, their reports in $out/logs"
exit $bad
