#!/bin/sh
# consume.sh WAY STAGE LIBDIR WORK: builds consumer.c against the staged install and runs it.
set -eu
way=$1 stage=$2 libdir=$3 work=$4
here=$(cd "$(dirname "$0")" && pwd)
rm -rf "$work" && mkdir -p "$work"
export LD_LIBRARY_PATH="$stage/$libdir"
case $way in
  pkgconfig)
    export PKG_CONFIG_PATH="$stage/$libdir/pkgconfig"
    cc -std=c11 -Wall -Wextra -Werror "$here/consumer.c" $(pkg-config --define-variable=prefix="$stage" --cflags --libs gyr) \
      -o "$work/consumer"
    "$work/consumer" ;;
  find_package)
    cmake -S "$here/find_package" -B "$work" -DCMAKE_PREFIX_PATH="$stage" -DCMAKE_BUILD_TYPE=Release > "$work/log" 2>&1 ||
      { cat "$work/log"; exit 1; }
    cmake --build "$work"
    "$work/consumer" ;;
  dlopen)
    cc -std=c11 -Wall -Wextra -Werror -I"$stage/include" "$here/dlopen_consumer.c" -ldl -o "$work/consumer"
    "$work/consumer" "$stage/$libdir/libgyr.so" ;;
esac
