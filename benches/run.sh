#!/bin/bash
# Whole-process throughput of `overhear analyze` beside what else is installed: benches/run.sh [CAPTURE].
# MB per CPU-second (user + system), best of three; peak resident memory. One core: --jobs 1, no input hash.
set -euo pipefail
cd "$(dirname "$0")/.."
capture=${1:-${OVERHEAR_BENCH_CAPTURE:-}}
if [ -z "$capture" ]; then
    for tool in editcap mergecap; do
        command -v "$tool" >/dev/null || { echo "name a capture (benches/run.sh FILE), or install wireshark-common to have one made" >&2; exit 3; }
    done
    [ -d ../shared/captures ] || { echo "name a capture: benches/run.sh FILE" >&2; exit 3; }
    capture=${TMPDIR:-/tmp}/overhear-bench.pcap
    [ -s "$capture" ] || ../shared/captures/make_big.sh ../shared/captures/pcap "$capture" 500 >&2
fi
[ -x /usr/bin/time ] || { echo "install the Debian package time" >&2; exit 3; }
cargo build --release --locked
bytes=$(stat -c %s "$capture")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

measure() { # name, command…
    local name=$1 best=
    shift
    for _ in 1 2 3; do
        /usr/bin/time -f '%U %S %M' -o "$work/t" "$@" >/dev/null 2>&1 || true
        local line
        line=$(tail -n1 "$work/t" | awk -v b="$bytes" '{c=$1+$2; if (c<=0) c=0.01; printf "%.1f %.2f %.0f", b/1e6/c, c, $3/1024}')
        if [ -z "$best" ] || awk -v a="$line" -v b="$best" 'BEGIN{split(a,x," ");split(b,y," ");exit !(x[1]>y[1])}'; then best=$line; fi
    done
    printf '%-28s %10s MB/CPU-s %10s CPU-s %8s MiB\n' "$name" $best
}
echo "$capture: $((bytes / 1000000)) MB"
measure "overhear analyze --jobs 1" target/release/overhear -q analyze --hash none --jobs 1 --force --out "$work/run" "$capture"
measure "overhear analyze --jobs 2" target/release/overhear -q analyze --hash none --jobs 2 --force --out "$work/run" "$capture"
command -v tshark >/dev/null && measure "tshark fields" tshark -r "$capture" -T fields -e frame.number -e tls.handshake.extensions_server_name -e http.request.uri -e dns.qry.name
command -v ndpiReader >/dev/null && measure "ndpiReader" ndpiReader -i "$capture"
command -v tcpflow >/dev/null && measure "tcpflow" tcpflow -r "$capture" -o "$work/tcpflow"
exit 0
