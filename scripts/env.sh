# Sourced by every script, so that all of them hand cargo the same flags: other flags would rebuild the whole tree.

# mold links the binary in a fraction of the time.
if command -v mold >/dev/null 2>&1 && [[ "${RUSTFLAGS:-}" != *-fuse-ld=mold* ]]; then
    RUSTFLAGS="${RUSTFLAGS:+$RUSTFLAGS }-C link-arg=-fuse-ld=mold"
fi
export RUSTFLAGS="${RUSTFLAGS:-}"

# Tools that the scripts install for themselves.
HEADWATER_TOOLS="${XDG_CACHE_HOME:-$HOME/.cache}/headwater/tools"
export HEADWATER_TOOLS
export PATH="$PATH:$HOME/.cargo/bin:$HEADWATER_TOOLS/bin"

# What the reader must not miss.
loudly() {
    printf '\n!!! %s\n\n' "$*" >&2
}
