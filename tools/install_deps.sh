#!/bin/sh
# install_deps.sh build|test|bench|arm64: installs the Debian packages that gyr needs and lacks. The one list of them;
# the reasons are in docs/dependencies.md.
set -eu
build="g++ cmake ninja-build pkg-config ccache python3 python3-venv ca-certificates
  liblz4-dev libhwy-dev nlohmann-json3-dev libxxhash-dev"
redis="libhiredis-dev redis-server"
test="$redis abigail-tools libomp-14-dev libopenblas0-pthread locales libgtest-dev gcovr clang libclang-rt-14-dev git
  binutils"
bench="$redis libbenchmark-dev libopenblas-serial-dev libabsl-dev librocksdb-dev dataset-fashion-mnist"
arm64="$build g++-aarch64-linux-gnu qemu-user"
# Libraries for the arm64 preset, unpacked into build/arm64-root.
arm64_root="libhwy-dev libhwy1 liblz4-dev liblz4-1 libgtest-dev libxxhash-dev nlohmann-json3-dev"
case ${1:-} in
  build) wanted=$build ;;
  test) wanted="$build $test" ;;
  bench) wanted="$build $bench" ;;
  arm64) wanted=$arm64 ;;
  *) echo "usage: install_deps.sh build|test|bench|arm64" >&2; exit 2 ;;
esac
missing=
for p in $wanted; do
  dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $p"
done
if [ -n "$missing" ]; then
  echo "Installing Debian packages:$missing"
  as_root=
  [ "$(id -u)" = 0 ] || as_root=sudo
  export DEBIAN_FRONTEND=noninteractive
  $as_root apt-get update -qq
  # shellcheck disable=SC2086
  $as_root apt-get install -y -qq --no-install-recommends $missing > /dev/null
fi
[ "$1" = arm64 ] || exit 0

# Another architecture's packages beside this machine's would tie every later upgrade of the two together, and change
# what is installed here: an apt of its own state fetches them, checked as ever, and they are only unpacked.
root=$(cd "$(dirname "$0")/.." && pwd)/build/arm64-root
[ "$(cat "$root/packages" 2> /dev/null)" = "$arm64_root" ] && exit 0
echo "Unpacking for arm64: $arm64_root"
rm -rf "$root"
mkdir -p "$root/apt/lists/partial" "$root/apt/archives/partial"
cd "$root/apt"
own="-qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State::status=/dev/null
  -o Dir::State::lists=$root/apt/lists -o Dir::Cache=$root/apt -o APT::Sandbox::User="
# shellcheck disable=SC2086
apt-get $own update
# shellcheck disable=SC2086
apt-get $own download $arm64_root
for p in *.deb; do dpkg-deb -x "$p" "$root"; done
cd "$root"
rm -rf apt
echo "$arm64_root" > packages
