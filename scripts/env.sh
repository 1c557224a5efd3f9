# Sourced by every script. No RUSTFLAGS on purpose: other flags would rebuild the whole tree, and Rust links with lld by
# itself.

# Tools that the scripts install for themselves.
HEADWATER_TOOLS="${XDG_CACHE_HOME:-$HOME/.cache}/headwater/tools"
export HEADWATER_TOOLS
export PATH="$PATH:$HOME/.cargo/bin:$HEADWATER_TOOLS/bin"

# What the reader must not miss.
loudly() {
    printf '\n!!! %s\n\n' "$*" >&2
}
