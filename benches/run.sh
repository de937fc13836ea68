#!/bin/bash
# Whole-process throughput of `overhear analyze` beside what else is installed: benches/run.sh [CAPTURE…].
# MB per CPU-second (user + system), best of three; peak resident memory. --jobs 1 and 2, no input hash, a made-up persona.
# Without a capture four are used: clear HTTP, downloads in clear and nearly all TLS, made here (captures/examples/bench-captures.rs says of what), and a
# mix of real ones where ../shared/captures is there. OVERHEAR_BENCH_MB: the size of those made (300).
set -euo pipefail
cd "$(dirname "$0")/.."
[ -x /usr/bin/time ] || { echo "install the Debian package time" >&2; exit 3; }
cargo build --release --locked >&2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
make=(cargo run -q --release --locked -p overhear-captures --example bench-captures --)
"${make[@]}" persona "$work/persona.toml"
if [ $# -eq 0 ]; then
    size=${OVERHEAR_BENCH_MB:-300}
    for kind in http bulk tls; do
        "${make[@]}" "$kind" "$work/$kind.pcapng" "$size"
        set -- "$@" "$work/$kind.pcapng"
    done
    if [ -x ../shared/captures/make_big.sh ] && command -v editcap mergecap >/dev/null; then
        ../shared/captures/make_big.sh ../shared/captures/pcap "$work/mixed.pcap" "$size" >&2
        set -- "$@" "$work/mixed.pcap"
    fi
fi

measure() { # name, command…
    local name=$1 best=
    shift
    for _ in 1 2 3; do
        # Exit codes are verdicts here: a capture that fails a check was read all the same.
        /usr/bin/time -f '%U %S %e %M' -o "$work/t" "$@" >/dev/null 2>&1 || true
        local line
        line=$(tail -n1 "$work/t" | awk -v b="$bytes" '{c=$1+$2; if (c<=0) c=0.01; if ($3<=0) $3=0.01; printf "%.1f %.1f %.2f %.0f", b/1e6/c, b/1e6/$3, c, $4/1024}')
        if [ -z "$best" ] || awk -v a="$line" -v b="$best" 'BEGIN{split(a,x," ");split(b,y," ");exit !(x[1]>y[1])}'; then best=$line; fi
    done
    # shellcheck disable=SC2086
    printf '%-28s %10s MB/CPU-s %9s MB/s %9s CPU-s %7s MiB\n' "$name" $best
}
for capture in "$@"; do
    bytes=$(stat -c %s "$capture")
    echo "$(basename "$capture"): $((bytes / 1000000)) MB"
    for jobs in 1 2; do
        measure "overhear analyze --jobs $jobs" target/release/overhear -q analyze --hash none --jobs $jobs --persona "$work/persona.toml" --force --out "$work/run" "$capture"
    done
    command -v tshark >/dev/null && measure "tshark fields" tshark -r "$capture" -T fields -e frame.number -e tls.handshake.extensions_server_name -e http.request.uri -e dns.qry.name
    command -v ndpiReader >/dev/null && measure "ndpiReader" ndpiReader -i "$capture"
    command -v tcpflow >/dev/null && measure "tcpflow" tcpflow -r "$capture" -o "$work/tcpflow" && rm -rf "$work/tcpflow"
    true
done
