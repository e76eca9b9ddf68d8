#!/usr/bin/env bash
# Installs what the tests need and the machine lacks: redis-server (or valkey-server), a Chromium, curl, nats-server,
# rabbitmq-server, Django for Python (on Debian and Ubuntu), and the programs of PostgreSQL, of which no server is set up or started.
# It says what it installs, and changes nothing where everything is there. Works as root and for users with sudo.
# On Debian and Ubuntu none of the servers is started: while it installs, /usr/sbin/policy-rc.d forbids that, unless there is one
# already. Their units are enabled, as by any installation, and start with the machine: systemctl disable UNIT keeps them away.
set -euo pipefail

# The bundle's path, because a Chrome on macOS is seldom on the PATH.
mac_chrome="/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"

have() { command -v "$1" >/dev/null 2>&1; }
have_redis() { have redis-server || have valkey-server; }
# Debian and Homebrew keep it off the PATH.
have_postgres() {
  have postgres || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null ||
    compgen -G '/opt/homebrew/opt/postgresql*/bin/postgres' >/dev/null
}
have_django() { /usr/bin/python3 -c 'import django' 2>/dev/null || python3 -c 'import django' 2>/dev/null; }
# Debian has it where only root's PATH leads.
have_nats() { have nats-server || [ -x /usr/sbin/nats-server ]; }
have_rabbit() { have rabbitmq-server || [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || [ -x /opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server ]; }
have_browser() {
  have chromium || have chromium-browser || have google-chrome || have google-chrome-stable ||
    have headless-shell || [ -x "$mac_chrome" ]
}

# "deps.sh images" is for those who build and run the container images, which is possible on Linux only.
if [ "${1:-}" = images ]; then
  packages=()
  for name in buildah umoci runc; do have "$name" || packages+=("$name"); done
  have busybox || packages+=(busybox-static)
  if [ ${#packages[@]} -gt 0 ] && have apt-get && [ "$(id -u)" -eq 0 ]; then
    echo "installing ${packages[*]} with apt-get"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
  fi
  exit 0 # the test says what is still missing
fi

missing=()
have_redis || missing+=(redis)
have_browser || missing+=(chromium)
have curl || missing+=(curl)
have_postgres || missing+=(postgresql)
have_nats || missing+=(nats)
have_rabbit || missing+=(rabbitmq)
if have apt-get; then have_django || missing+=(django); fi # elsewhere the example's test says that it is skipped
if [ ${#missing[@]} -eq 0 ]; then
  echo "all there"
  exit 0
fi

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif have sudo; then
    sudo "$@"
  else
    echo "Cannot install ${missing[*]}: neither root nor sudo. Please run: $*" >&2
    return 1
  fi
}

# Debian's package would make a cluster and start it at every boot.
forgo_cluster() {
  local settings=/etc/postgresql-common/createcluster.conf
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql-common >/dev/null
  as_root sed -i 's/^#\? *create_main_cluster *=.*/create_main_cluster = false/' "$settings"
}

# Packages would start their servers on the usual ports, and could not be installed where one is taken.
policy=/usr/sbin/policy-rc.d
forbid_starts() {
  [ -e "$policy" ] && return
  trap 'as_root rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
  as_root chmod 755 "$policy"
}

apt_install() {
  forbid_starts
  as_root apt-get update -qq
  local packages=()
  for name in "${missing[@]}"; do
    case $name in
      redis) packages+=(redis-server) ;;
      curl) packages+=(curl) ;;
      nats) packages+=(nats-server) ;;
      rabbitmq) packages+=(rabbitmq-server) ;;
      django) packages+=(python3-django) ;;
      postgresql) packages+=(postgresql); forgo_cluster ;;
      # Debian calls it chromium, Ubuntu chromium-browser.
      chromium) if apt-cache show chromium >/dev/null 2>&1; then packages+=(chromium); else packages+=(chromium-browser); fi ;;
    esac
  done
  echo "installing ${packages[*]} with apt-get"
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
}

brew_install() {
  for name in "${missing[@]}"; do
    echo "installing $name with brew"
    case $name in
      redis) brew install --quiet redis ;;
      curl) brew install --quiet curl ;;
      nats) brew install --quiet nats-server ;;
      rabbitmq) brew install --quiet rabbitmq ;;
      postgresql) brew install --quiet postgresql ;;
      chromium) brew install --quiet --cask chromium ;;
    esac
  done
}

if have apt-get; then
  apt_install
elif have brew; then
  brew_install
else
  echo "Missing: ${missing[*]}. There is neither apt-get nor brew here; please install them by hand." >&2
  exit 1
fi
