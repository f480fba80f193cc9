# What `build` and `path` share: the tools, their packages and flags, and where a build is kept. Sourced, never run.
#
# A tool is a folder here with a committed go.mod and go.sum (and main.go where the program is our own). Its binary is
# kept under a key of everything that decides its bytes, so an unchanged tool is never built twice, and a changed one always is.

provision_dir="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache_dir="${CUSTODY_CACHE:-$HOME/.cache/custody}"

# In the order that unblocks the most tests first.
all_tools=(nats-server crane refreg registry etcd kube cosign keyless fulcio rekor timestamp)
# What only the measurements in tests/bench start: built when asked for by name.
bench_tools=(verify-loop)

# The package that a tool is built from.
package_of() {
  case "$1" in
    nats-server) echo github.com/nats-io/nats-server/v2 ;;
    crane) echo github.com/google/go-containerregistry/cmd/crane ;;
    registry) echo github.com/distribution/distribution/v3/cmd/registry ;;
    cosign) echo github.com/sigstore/cosign/v3/cmd/cosign ;;
    fulcio) echo github.com/sigstore/fulcio ;;
    rekor) echo github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix ;;
    etcd | kube | refreg | keyless | timestamp | verify-loop) echo . ;;
    *) return 1 ;;
  esac
}

linker_flags_of() {
  case "$1" in
    kube)
      # Without these the API server reports a version that clients cannot parse.
      local version=k8s.io/component-base/version
      echo "-s -w -X $version.gitVersion=v1.37.2 -X $version.gitMajor=1 -X $version.gitMinor=37"
      ;;
    *) echo "-s -w" ;;
  esac
}

# Where the binary of a tool is, or would be.
binary_of() {
  local tool="$1" folder="$provision_dir/$1" package key
  package="$(package_of "$tool")" || {
    echo "unknown tool '$tool'; known: ${all_tools[*]} ${bench_tools[*]}" >&2
    return 1
  }
  key="$(
    {
      find "$folder" -maxdepth 1 -type f \( -name '*.go' -o -name 'go.mod' -o -name 'go.sum' \) | LC_ALL=C sort | xargs cat
      echo "$package" "$(linker_flags_of "$tool")" "$(go_version)"
    } | sha256sum | cut -c1-24
  )"
  echo "$cache_dir/$key/$tool"
}

go_version() {
  if ! command -v go >/dev/null; then
    echo "go is not installed: install Go 1.26 or newer and put it on PATH" >&2
    return 1
  fi
  GOTOOLCHAIN=local go version
}
