#!/bin/bash
# The live side beside what else is installed: new connections, keep-alive, bulk and memory of a device that is controlled all the time.
# In namespaces of its own (root, or an ordinary user where those may make them): device - gateway - origin, all on this machine's cores.
# benches/proxy.sh [ROUNDS]; contenders take turns in every round, the median of the rounds is printed. About 40 s per round and contender.
set -euo pipefail
rounds=${1:-${OVERHEAR_BENCH_ROUNDS:-3}}
if [ -z "${OVERHEAR_BENCH_INSIDE:-}" ]; then
    cd "$(dirname "$0")/.."
    for tool in ip nft unshare; do
        PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null || { echo "install iproute2, nftables and util-linux" >&2; exit 3; }
    done
    cargo build --release --locked --example proxy >&2
    user=
    [ "$(id -u)" -eq 0 ] || user=--map-root-user
    OVERHEAR_BENCH_INSIDE=$PWD/target/release/examples/proxy PATH=$PATH:/usr/sbin:/sbin exec unshare $user --mount --net --pid --fork --kill-child --mount-proc "$0" "$rounds"
fi
proxy=$OVERHEAR_BENCH_INSIDE
ulimit -n 16384 2>/dev/null || ulimit -n "$(ulimit -Hn)"
mount -t tmpfs none /run
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT

# device 10.91.0.2 - dut 10.91.0.1 (gateway, here) wan 10.92.0.1 - origin 10.92.0.2
ip link set lo up
for name in device origin; do
    ip netns add "$name"
    ip -n "$name" link set lo up
done
ip link add dut type veth peer name eth0 netns device
ip link add wan type veth peer name eth0 netns origin
ip address add 10.91.0.1/24 dev dut && ip link set dut up
ip address add 10.92.0.1/24 dev wan && ip link set wan up
ip -n device address add 10.91.0.2/24 dev eth0 && ip -n device link set eth0 up && ip -n device route add default via 10.91.0.1
ip -n origin address add 10.92.0.2/24 dev eth0 && ip -n origin link set eth0 up && ip -n origin route add default via 10.92.0.1
echo 1 >/proc/sys/net/ipv4/ip_forward
echo "10.92.0.2 a.bench.test" >"$work/hosts"
mount --bind "$work/hosts" /etc/hosts

redirect() { nft -f - <<<"table ip bench { chain divert { type nat hook prerouting priority dstnat; iifname \"dut\" tcp dport 443 redirect to :5000; }; }"; }
straight() { nft delete table ip bench 2>/dev/null || true; }
listening() { for _ in $(seq 100); do ss -ltn "sport = :5000" | grep -q 5000 && return; sleep 0.1; done; echo "$1 does not listen" >&2; return 1; }

ip netns exec origin "$proxy" origin "$work" &
origin=$!
while [ ! -s "$work/origin/ca.pem" ]; do sleep 0.1; done
# Authority and leaf key for those that want theirs from files: P-256, as ours are.
mkdir -p "$work/other" "$work/mitmproxy"
openssl ecparam -name prime256v1 -genkey -noout 2>/dev/null | openssl pkcs8 -topk8 -nocrypt -out "$work/other/ca.key"
openssl req -x509 -new -key "$work/other/ca.key" -days 30 -subj "/CN=bench authority" -out "$work/other/ca.pem" 2>/dev/null
openssl ecparam -name prime256v1 -genkey -noout -out "$work/leaf.key"
cat "$work/other/ca.key" "$work/other/ca.pem" >"$work/mitmproxy/mitmproxy-ca.pem"

contender=
start() {
    case $1 in
    direct) straight; contender=$origin; return ;;
    bare) "$proxy" bare "$work" & ;;
    overhear) "$proxy" overhear "$work" dut 2>/dev/null & ;;
    sslsplit) sslsplit -k "$work/other/ca.key" -c "$work/other/ca.pem" -K "$work/leaf.key" ssl 0.0.0.0 5000 netfilter >/dev/null 2>&1 & ;;
    mitmproxy) mitmdump -q --mode transparent --listen-port 5000 --set confdir="$work/mitmproxy" --set stream_large_bodies=1m \
        --set ssl_verify_upstream_trusted_ca="$work/origin/ca.pem" >/dev/null 2>&1 & ;;
    esac
    contender=$!
    listening "$1"
    redirect
}
stop() {
    straight
    [ "$1" = direct ] && return
    # Of sslsplit the child does the work; the group's end is the script's.
    kill "$contender" 2>/dev/null || true
    wait "$contender" 2>/dev/null || true
    sleep 0.5
}
contenders="direct bare overhear"
command -v sslsplit >/dev/null && contenders="$contenders sslsplit"
command -v mitmdump >/dev/null && contenders="$contenders mitmproxy"
modes=${OVERHEAR_BENCH_MODES:-conns names keep bulk1 bulk4 idle}
for round in $(seq "$rounds"); do
    for name in $contenders; do
        for mode in $modes; do
            # A fresh process for each: memory of the one is not the other's.
            start "$name"
            ip netns exec device "$proxy" load "$work" "$mode" "$contender" | sed "s/^/$name /" | tee -a "$work/all" >&2 || echo "$name $mode failed" >&2
            stop "$name"
        done
    done
    echo "round $round of $rounds" >&2
done
awk '
function median(key,    n, list, i, j, t) {
    n = split(values[key], list, " ")
    for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++) if (list[j] + 0 < list[i] + 0) { t = list[i]; list[i] = list[j]; list[j] = t }
    return n ? list[int((n + 1) / 2)] : "-"
}
{ if (!($1 in seen)) { seen[$1]; order[++count] = $1 }; values[$1 " " $2 " rate"] = values[$1 " " $2 " rate"] " " $3; values[$1 " " $2 " each"] = values[$1 " " $2 " each"] " " $4 }
END {
    printf "%-10s %10s %10s %10s %10s %10s %10s %10s %10s %10s %10s\n", "", "conn/s", "ms/conn", "names/s", "ms/name", "req/s", "us/req", "1 MB/s", "4 MB/s", "s/GB", "KiB/idle"
    for (i = 1; i <= count; i++) {
        c = order[i]
        printf "%-10s %10s %10s %10s %10s %10s %10s %10s %10s %10s %10s\n", c, median(c " conns rate"), median(c " conns each"), median(c " names rate"), median(c " names each"), median(c " keep rate"), median(c " keep each"), median(c " bulk1 rate"), median(c " bulk4 rate"), median(c " bulk4 each"), median(c " idle rate")
    }
}' "$work/all"
