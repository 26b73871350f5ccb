# Shared functions of the scripts in this folder; sourced, never run. Needs bash and a bare Debian 12:
# missing packages are named, explained and installed first.
#
#   need_packages PKG...   installs these Debian packages if they are missing
#   need_build             installs all that a build needs: packages and .venv (CMake finds libtorch in it)
#   need_tests, need_check install what scripts/test (need_clients, too) and scripts/check need in addition
#   need_transferqueue     installs TransferQueue for the comparisons of scripts/bench python and scripts/check
#   need_clients           the Redis clients of tests/clients/: Debian's, Node's and Python's packages
#   build PRESET TARGET..  configures and builds; without a target, everything
#   begin_parts, part, junit_file, closing_line     tests in parts, and the closing line
#
# Removes no package: a plan that would remove one stops the script.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv
jobs=$(nproc)

declare -A why=(
  [g++]="compiles the server"
  [cmake]="configures the build"
  [ninja-build]="runs the build"
  [ccache]="makes a second build fast"
  [pkg-config]="finds libraries"
  [python3]="runs the demo and the tests"
  [python3-venv]="makes .venv"
  [libboost1.81-dev]="Asio: sockets, timers, coroutines; Beast: HTTP"
  [libboost-json1.81-dev]="reads tags"
  [libhiredis-dev]="a Redis client in C, for tests"
  [catch2]="unit tests"
  [libfmt-dev]="formats text"
  [libspdlog-dev]="writes the log"
  [libxxhash-dev]="hashes keys"
  [redis-tools]="redis-cli, to talk to the server"
  [redis-server]="what tests and benchmarks compare with"
  [tcl]="runs the test suite of Redis"
  [nodejs]="runs the Redis clients of Node"
  [npm]="installs them"
  [php-cli]="runs the Redis clients of PHP"
  [php-redis]="one of them: phpredis"
  [php-predis]="another: predis"
  [ruby-redis]="the Redis client of Ruby"
  [libredis-perl]="the Redis client of Perl"
  [python3-redis]="the redis-py that Debian has"
  [prometheus-redis-exporter]="what monitors Redis with Prometheus"
  [clang-14]="a second compiler, with thread-safety analysis"
  [libclang-rt-14-dev]="sanitizers and fuzzing with clang"
  [clang-tidy-14]="lint"
  [clang-format-14]="layout of the sources"
)

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# quietly WHAT COMMAND...: runs it with its output captured, and shows the output if it fails.
quietly() {
  local what=$1 log ticker status=0 start=$SECONDS
  shift
  log=$(mktemp)
  tick "$what" &
  ticker=$!
  "$@" >"$log" 2>&1 </dev/null || status=$?
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  [[ ! -t 1 ]] || printf '\r\033[K'
  if ((status == 0)); then
    printf '    %s: done, %d s\n' "$what" $((SECONDS - start))
  else
    cat "$log" >&2
    printf 'error: %s failed (status %d); its output stands above\n' "$what" "$status" >&2
  fi
  rm -f "$log"
  return "$status"
}

# Reports every second on a terminal, every minute elsewhere, that `what` is still running.
tick() {
  local what=$1 n
  for ((n = 1; ; ++n)); do
    sleep 1
    kill -0 $$ 2>/dev/null || return 0
    if [[ -t 1 ]]; then
      printf '\r    %s ... %d s' "$what" "$n"
    elif ((n % 60 == 0)); then
      printf '    %s ... %d s\n' "$what" "$n"
    fi
  done
}

# --- packages

installed() { [[ $(dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null) == ii* ]]; }

as_root() {
  if ((EUID == 0)); then
    env DEBIAN_FRONTEND=noninteractive "$@"
  else
    sudo env DEBIAN_FRONTEND=noninteractive "$@"
  fi
}

apt_get() { as_root apt-get -o DPkg::Lock::Timeout=300 --no-install-recommends --yes --quiet "$@"; }

need_packages() {
  local missing=() package plan removed
  command -v dpkg-query >/dev/null ||
    die "this system has no dpkg; Sluice is built on Debian 12, with these packages: $*"
  for package in "$@"; do
    installed "$package" || missing+=("$package")
  done
  ((${#missing[@]} > 0)) || return 0

  say "Installing Debian packages that are missing:"
  for package in "${missing[@]}"; do
    printf '      %-26s %s\n' "$package" "${why[$package]}"
  done
  if ((EUID != 0)); then
    command -v sudo >/dev/null ||
      die "that takes root, and there is no sudo; as root: apt-get install --no-install-recommends ${missing[*]}"
    sudo -v
  fi
  quietly "apt-get update" apt_get update
  plan=$(LC_ALL=C apt_get install --simulate "${missing[@]}" 2>&1) || die "apt-get cannot install these: $plan"
  removed=$(awk '$1 == "Remv" {print $2}' <<<"$plan")
  [[ -z $removed ]] ||
    die "installing these would remove $(xargs <<<"$removed"), so nothing was changed." \
      "If that is what you want: apt-get install ${missing[*]}"
  install_packages "${missing[@]}"
}

# Debian starts a daemon as soon as it is installed, and again at each boot. Only the binaries of these two are needed, so
# starting is forbidden meanwhile by policy-rc.d, which serves this purpose.
install_packages() {
  local policy=/usr/sbin/policy-rc.d status=0 guarded= daemon daemons=()
  for daemon in redis-server prometheus-redis-exporter; do
    [[ " $* " != *" $daemon "* ]] || daemons+=("$daemon")
  done
  if ((${#daemons[@]} > 0)) && [[ ! -e $policy ]]; then
    guarded=yes
    trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
  fi
  quietly "apt-get install" apt_get install "$@" || status=$?
  if [[ $guarded ]]; then
    as_root rm -f "$policy"
    trap - EXIT
  fi
  ((status == 0)) || exit "$status"
  for daemon in "${daemons[@]}"; do
    as_root update-rc.d "$daemon" disable >/dev/null 2>&1 || true
  done
}

need_build() {
  need_packages g++ cmake ninja-build ccache pkg-config python3 python3-venv libboost1.81-dev \
    libboost-json1.81-dev libhiredis-dev catch2 libfmt-dev libspdlog-dev libxxhash-dev redis-tools
  need_venv
}

need_tests() {
  need_packages redis-server
  need_clients
}

need_check() { need_packages clang-14 clang-tidy-14 clang-format-14 libclang-rt-14-dev; }

# --- Python

# .venv holds exactly scripts/requirements.txt.
need_venv() {
  fill_venv "$venv" "$root/scripts/requirements.txt" \
    "Making .venv (Python for demo and tests; libtorch for the server, several 100 MB)"
}

# The packages for scripts/bench python and tests/differential have their own environment: they include Ray.
transferqueue_venv=$root/.venv-transferqueue
need_transferqueue() {
  fill_venv "$transferqueue_venv" "$root/tests/bench/python_batch/transferqueue.txt" \
    "Making .venv-transferqueue (TransferQueue on Ray, to compare with; 1 GB)"
}

# fill_venv FOLDER REQUIREMENTS WHY: torch first, since its build restricts the versions of the others. A stamp named after
# the hash of REQUIREMENTS makes a repeated call instant.
fill_venv() {
  local folder=$1 requirements=$2 python=/usr/bin/python3 stamp torch
  "$python" -c 'import ensurepip, sys; assert sys.version_info >= (3, 11)' 2>/dev/null || python=python3
  "$python" -c 'import ensurepip, sys; assert sys.version_info >= (3, 11)' 2>/dev/null ||
    die "no Python of 3.11 or newer with venv was found"
  stamp=$folder/stamp-$(sha256sum <"$requirements" | cut -c1-16)
  [[ ! -e $stamp ]] || return 0

  torch=$(grep '^torch==' "$requirements")
  say "$3"
  "$folder/bin/python" -c '' 2>/dev/null || "$python" -m venv --clear "$folder"
  rm -f "$folder"/stamp-*
  quietly "pip install $torch" pip_of "$folder" install "$torch" || exit 1
  quietly "pip install the rest" pip_of "$folder" install -r "$requirements" || exit 1
  touch "$stamp"
}

pip_of() { "$1/bin/python" -m pip --disable-pip-version-check --no-input --quiet "${@:2}"; }

# --- Redis clients, for tests/clients/

need_clients() {
  need_packages php-cli php-redis php-predis ruby-redis libredis-perl python3-redis prometheus-redis-exporter
  need_node
  need_python_client hiredis-py
  need_python_client redisai-py
}

# node_modules holds exactly package-lock.json; the stamp works like that of .venv.
# An installed Node of any origin is sufficient.
need_node() {
  local folder=$root/tests/clients stamp
  if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    need_packages nodejs npm
  fi
  stamp=$folder/node_modules/stamp-$(sha256sum <"$folder/package-lock.json" | cut -c1-16)
  [[ ! -e $stamp ]] || return 0
  quietly "npm ci" npm_ci "$folder" || exit 1
  touch "$stamp"
}

npm_ci() { (cd "$1" && npm ci --ignore-scripts --no-audit --no-fund); }

# need_python_client NAME: installs NAME.txt in its own folder, since it conflicts with .venv.
need_python_client() {
  local pins=$root/tests/clients/$1.txt folder=$root/tests/clients/packages/$1 stamp
  stamp=$folder/stamp-$(sha256sum <"$pins" | cut -c1-16)
  [[ ! -e $stamp ]] || return 0
  rm -rf "$folder"
  quietly "pip install $1" pip_of "$venv" install --no-deps --target "$folder" -r "$pins" || exit 1
  touch "$stamp"
}

# --- the test suite of Redis

# Debian's source package of Redis, unpacked in build/, from where the system gets its packages. The list of source
# packages is fetched into build/, too: the system's own lists stay as they are.
redis_version=5:7.0.15-1~deb12u10
redis_suite=$root/build/redis-suite/redis-7.0.15
need_redis_suite() {
  need_packages tcl
  [[ ! -e $redis_suite/runtest ]] || return 0
  quietly "apt-get source redis" fetch_redis_suite || exit 1
}

fetch_redis_suite() (
  folder=$root/build/redis-suite
  mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial" "$folder/sources.list.d"
  cd "$folder"
  sed -n 's/^deb /deb-src /p' /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null >sources.list || true
  for sources in /etc/apt/sources.list.d/*.sources; do
    [[ ! -e $sources ]] || sed 's/^Types:.*/Types: deb-src/' "$sources" >"sources.list.d/$(basename "$sources")"
  done
  options=(-o "Dir::Etc::sourcelist=$folder/sources.list" -o "Dir::Etc::sourceparts=$folder/sources.list.d"
    -o "Dir::State::lists=$folder/lists" -o "Dir::Cache=$folder/cache" -o APT::Sandbox::User=)
  apt-get "${options[@]}" update
  apt-get "${options[@]}" source --download-only "redis=$redis_version"
  tar -xzf redis_7.0.15.orig.tar.gz
)

# --- building

# build PRESET [TARGET...]: without a target, builds all.
build() {
  local preset=$1
  shift
  say "Building preset $preset"
  (cd "$root" && quietly "configure" cmake --preset "$preset") || return 1
  NINJA_STATUS='    [%f/%t, %e s] ' cmake --build "$root/build/$preset" --parallel "$jobs" ${1:+--target "$@"}
}

# --- tests, in parts

# Each part leaves a JUnit file and its exit status; scripts/tally.py sums them up in one line.
begin_parts() {
  results=$root/build/results/$(basename "$0")
  rm -rf "$results"
  mkdir -p "$results"
}

junit_file() { printf '%s/%s.xml' "$results" "$1"; }

# part NAME COMMAND...: a failure is recorded for the closing line, and does not end the script.
part() {
  local name=$1 status=0
  shift
  say "$name"
  "$@" || status=$?
  printf '%d\n' "$status" >"$results/$name.status"
}

# part_beside NAME COMMAND...: a part that runs while the next ones do; end_parts_beside waits for these and prints what
# they printed.
part_beside() {
  part "$@" >"$results/$1.log" 2>&1 &
}
end_parts_beside() {
  local log
  wait
  for log in "$results"/*.log; do
    cat "$log"
  done
}

# part_ctest PRESET NAME [CTEST ARGUMENT...]: builds everything, then runs the preset's tests.
part_ctest() {
  local preset=$1 name=$2
  shift 2
  part "$name" build_and_ctest "$preset" "$(junit_file "$name")" "$@"
}

build_and_ctest() {
  local preset=$1 junit=$2
  shift 2
  build "$preset" && (cd "$root" && ctest --preset "$preset" --parallel 2 --output-junit "$junit" "$@")
}

# Prints 'N passed, N failed' as the last line. Its status is 1 unless something passed and nothing failed.
closing_line() { python3 "$root/scripts/tally.py" "$results"; }
