# Sourced by .ci/run: Chromium, and a software Vulkan driver for the tests of WebGPU, from Debian's packages.

sudo=""
[ "$(id -u)" = 0 ] || sudo="sudo"

have_packages() {
  command -v chromium >/dev/null && ls /usr/share/vulkan/icd.d/lvp_icd*.json >/dev/null 2>&1 &&
    dpkg --compare-versions "$(dpkg-query -W -f '${Version}' mesa-vulkan-drivers 2>/dev/null)" ge 25
}

install_packages() {
  # shellcheck disable=SC1091
  . /etc/os-release
  if [ "${VERSION_CODENAME:-}" = bookworm ]; then
    # Debian 12's own Mesa is too old for WebGPU; the one in backports is not.
    mirror=$(grep -rhoE 'https?://[^ ]+/debian( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | head -n 1 | tr -d ' ')
    echo "deb $mirror bookworm-backports main" | $sudo tee /etc/apt/sources.list.d/tintype-backports.list >/dev/null
    release="-t bookworm-backports"
  fi
  $sudo apt-get update -q || true
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -yq libvulkan1 chromium
  # shellcheck disable=SC2086
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -yq ${release:-} mesa-vulkan-drivers
}

have_packages || install_packages
