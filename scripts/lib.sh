# What scripts/demo, scripts/test and scripts/bench share: what they need, the build, the Python of the tests. Sourced.

set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

# Debian keeps bpftool and tcpdump where an ordinary user's PATH does not look.
case :$PATH: in
  *:/usr/sbin:*) ;;
  *) PATH=$PATH:/usr/sbin:/sbin ;;
esac
# Compilers and package managers keep their caches inside the checkout, so that removing it removes everything.
export XDG_CACHE_HOME=$root/.build/cache PYTHONDONTWRITEBYTECODE=1
tap_bin=$root/.build/release
venv=$root/.build/venv

say() { echo "${0##*/}: $*" >&2; }
fail() {
  say "$1"
  [ -z "${2-}" ] || echo "  $2" >&2
  exit "${3:-69}"
}

# What each purpose needs, as PACKAGE=PROOF: a command on PATH or a file. The Debian package is only the way to get it.
# redis-tools holds the server's program too, and unlike redis-server it installs no system service.
# The first are what the Swift toolchain itself asks for on a bare Debian.
build_needs=(
  git=git ca-certificates=/etc/ssl/certs/ca-certificates.crt binutils=ld libc6-dev=/usr/include/stdio.h
  'libstdc++-12-dev=/usr/include/c++/*/vector' 'libncurses6=/usr/lib/*/libncurses.so.6' 'libcurl4=/usr/lib/*/libcurl.so.4'
  'libxml2=/usr/lib/*/libxml2.so.2' 'libedit2=/usr/lib/*/libedit.so.2' 'libsqlite3-0=/usr/lib/*/libsqlite3.so.0'
  libbpf-dev=/usr/include/bpf/libbpf.h libelf-dev=/usr/include/libelf.h libpcap-dev=/usr/include/pcap/pcap.h
  libsodium-dev=/usr/include/sodium.h
  pkg-config=pkg-config)
redis_needs=(redis-tools=redis-check-rdb)
test_needs=(
  bpftool=bpftool gcc=gcc iproute2=ip mandoc=mandoc procps=ps 'python3-venv=/usr/lib/python3*/ensurepip'
  util-linux=unshare)
# What only the tests that run as root use.
root_needs=(
  busybox-static=/usr/bin/busybox containerd=containerd docker.io=dockerd iptables=iptables libcap2-bin=setcap podman=podman
  runc=runc)
# The clients of Redis in other languages that test_clients.py runs: 10 MB.
client_needs=(
  php-cli=php 'php-redis=/usr/lib/php/*/redis.so' ruby=ruby 'ruby-redis=/usr/share/rubygems-integration/all/gems/redis-*/lib/redis.rb'
  perl=perl libredis-perl=/usr/share/perl5/Redis.pm nodejs=node node-redis=/usr/share/nodejs/redis/package.json)
guest_needs=(qemu-system-x86=qemu-system-x86_64 busybox-static=/usr/bin/busybox cpio=cpio)
bench_needs=(gcc=gcc tcpdump=tcpdump tshark=tshark valgrind=valgrind)

need() {
  local need missing=()
  for need in "$@"; do
    local proof=${need#*=}
    compgen -G "$proof" >/dev/null || command -v "$proof" >/dev/null || missing+=("${need%%=*}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  local install="apt-get install --no-install-recommends ${missing[*]}"
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || fail "missing Debian packages: ${missing[*]}" "Run: sudo $install"
  say "installing ${missing[*]}"
  as_user mkdir -p .build
  {
    apt-get update && DEBIAN_FRONTEND=noninteractive $install --yes
  } >.build/apt.log 2>&1 </dev/null || fail "could not install ${missing[*]}: see .build/apt.log"
}

# Under sudo the checkout stays the calling user's: what builds in it runs as that user, with that user's swift.
as_user() {
  if [ "$(id -u)" = 0 ] && [ -n "${SUDO_USER-}" ] && [ "$(stat -c %U "$root")" = "$SUDO_USER" ]; then
    runuser -u "$SUDO_USER" -- env HOME="$(getent passwd "$SUDO_USER" | cut -d: -f6)" PATH="$PATH" "$@"
  else
    "$@"
  fi
}

# The toolchain, with what it and the build ask for.
need_swift() {
  local found remedy="Install it from https://www.swift.org/install/linux/ and try again."
  if ! command -v swift >/dev/null; then
    found=$(as_user bash -lc 'command -v swift') || fail "swift is not on PATH; expected Swift 6.2 or newer" "$remedy"
    PATH=$PATH:$(dirname "$found")
  fi
  need "${build_needs[@]}"
  found=$(clean_swift --version 2>&1 | sed -nE 's/.*Swift version ([0-9]+\.[0-9]+).*/\1/p')
  [ "$(printf '%s\n' 6.2 "${found:-0}" | sort -V | head -n 1)" = 6.2 ] ||
    fail "this Swift is ${found:-of unknown version}; expected 6.2 or newer" "$remedy"
}

# Builds the programs into $tap_bin. Warnings of our own code are errors; the linker's about the toolchain's are not ours.
build() {
  need_swift
  say "building (the first time takes some minutes; the log is .build/build.log)"
  as_user mkdir -p .build
  run_swift .build/build.log build -c release --static-swift-stdlib
}

# Build commands run again when the environment changes, and every terminal has another: swift gets what a build needs.
clean_swift() {
  local name kept=()
  for name in $(compgen -e); do
    case $name in
      PATH | USER | LANG | TAP_FUZZ | LC_* | XDG_CACHE_HOME | *_proxy | *_PROXY | SSL_* | GIT_SSL_* | CURL_CA_BUNDLE)
        kept+=("$name=${!name}") ;;
    esac
  done
  # Its locks and what an ended build leaves behind stay inside the checkout too.
  as_user mkdir -p .build/tmp
  as_user bash -c 'exec env -i HOME="$HOME" "$@"' bash "${kept[@]}" "TMPDIR=$root/.build/tmp" swift "$@"
}

# run_swift LOG ARG…: swift with its output in LOG, shown when it fails.
run_swift() {
  local log=$1 warned
  shift
  rm -f "$log"
  if ! clean_swift "$@" >"$log" 2>&1 </dev/null; then
    tail -n 60 "$log" >&2
    fail "swift $1 failed; the whole log is $log" "" 1
  fi
  warned=$(sed -nE "s#^$root/((Sources|Tests|Plugins|Benchmarks)/[^:]*|Package\.swift):[0-9]+:[0-9]+: warning: .*#\1#p" "$log" | sort -u)
  [ -z "$warned" ] && return
  grep -E ': warning: ' "$log" | sort -u >&2
  # The next build must see them again.
  touch $warned
  fail "warnings in our own code" "" 1
}

# Everything that the tests need, asked for at once: an ordinary user gets one list to install, not one after the other.
need_for_tests() {
  local of_root=()
  [ "$(id -u)" != 0 ] || of_root=("${root_needs[@]}")
  need "${build_needs[@]}" "${redis_needs[@]}" "${test_needs[@]}" "${client_needs[@]}" "${of_root[@]}"
}

# The Python of the end-to-end tests and the benchmarks, with the pinned packages of Tests/e2e/requirements.txt.
make_venv() {
  need_for_tests
  local wanted=Tests/e2e/requirements.txt
  cmp -s "$wanted" "$venv/installed.txt" && return
  say "making the Python environment .build/venv"
  rm -rf "$venv"
  as_user /usr/bin/python3 -m venv "$venv"
  as_user "$venv/bin/pip" install --quiet --no-cache-dir --disable-pip-version-check -r "$wanted"
  as_user cp "$wanted" "$venv/installed.txt"
}

# Sets redis_server to a program to start as a redis-server.
find_redis() {
  need_for_tests
  redis_server=$(command -v redis-server) && return
  # The one binary of redis-tools is what its name says.
  as_user mkdir -p .build/bin
  as_user ln -sf "$(command -v redis-check-rdb)" .build/bin/redis-server
  redis_server=$root/.build/bin/redis-server
  PATH=$PATH:$root/.build/bin
}
