#!/bin/sh
# install_deps.sh build|test|bench: installs the Debian packages that gyr needs and lacks. The one list of them; the
# reasons are in docs/dependencies.md.
set -eu
build="g++ cmake ninja-build pkg-config ccache python3 python3-venv ca-certificates
  liblz4-dev libhwy-dev nlohmann-json3-dev libxxhash-dev"
redis="libhiredis-dev redis-server"
test="$redis abigail-tools libomp-14-dev libopenblas0-pthread locales libgtest-dev gcovr clang libclang-rt-14-dev git
  binutils"
bench="$redis libbenchmark-dev libabsl-dev librocksdb-dev dataset-fashion-mnist"
case ${1:-} in
  build) wanted=$build ;;
  test) wanted="$build $test" ;;
  bench) wanted="$build $bench" ;;
  *) echo "usage: install_deps.sh build|test|bench" >&2; exit 2 ;;
esac
missing=
for p in $wanted; do
  dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
echo "Installing Debian packages:$missing"
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
# shellcheck disable=SC2086
$as_root apt-get install -y -qq --no-install-recommends $missing > /dev/null
