#!/bin/bash
# SPDX-License-Identifier: MIT
# layering_test.sh includes SOURCE_DIR      the include arrows of the design, over the source tree
# layering_test.sh symbols NM ARCHIVE...    the core asks for no sockets, clocks, threads, randomness, libbpf or Asio
set -u
failures=0
fail() {
  echo "layering: $*" >&2
  failures=$((failures + 1))
}

# Which of weir's directories each may include besides itself. An arrow may be followed further: a header may include
# what its own directory may. Everyone may include common/.
declare -A may=(
  [userspace/base]=""
  [userspace/wire]="base"
  [userspace/tcp]="wire base"
  [userspace/udp]="wire base"
  [userspace/stack]="tcp udp wire base"
  [userspace/harness]="stack tcp udp wire base"
  [userspace/xdp]="base"
  [userspace/control]="xdp base"
  [userspace/runtime]="stack tcp udp wire xdp control base"
  [userspace/asio]="runtime stack tcp udp wire xdp control base"
  [userspace/examples]="harness asio runtime stack tcp udp wire xdp control base"
  [cli]="control xdp base"
  [common]="-"
  [bpf]="-"
)
core="userspace/base userspace/wire userspace/tcp userspace/udp userspace/stack userspace/harness"

# The core is sans-IO: these would let it read a clock, block, or talk to the kernel.
banned_in_core='^(chrono|thread|mutex|shared_mutex|condition_variable|future|semaphore|random|ctime|time\.h|csignal|signal\.h|fstream|filesystem|iostream|unistd\.h|fcntl\.h|poll\.h|pthread\.h|netdb\.h|ifaddrs\.h|(sys|netinet|arpa|net|linux|bpf|xdp|netlink|boost/asio|boost/beast)/.*)$'

check_includes() {
  cd "$1" || exit 2
  local seen=0 dir file line name target
  for dir in "${!may[@]}"; do
    [ -d "$dir" ] || continue
    while IFS=: read -r file line name; do
      seen=$((seen + 1))
      case "$name" in
        \"weir/common/*) ;;
        \"weir/*)
          target=${name#\"weir/}
          target=${target%%/*}
          if [ "$dir" != "userspace/$target" ] && [[ " ${may[$dir]} " != *" $target "* ]]; then
            fail "$file:$line: $dir may not include $name"
          fi
          ;;
        \"*)
          # A bare name is for programs, which nobody includes, and for the generated BPF skeleton.
          if [[ $dir == userspace/* && $dir != userspace/examples && $name != *.skel.h\" ]]; then
            fail "$file:$line: say \"weir/<directory>/<file>.h\", not $name"
          fi
          ;;
        \<weir/*) fail "$file:$line: weir's own headers stand in quotes: $name" ;;
        \<*)
          target=${name#<}
          target=${target%>}
          if [[ " $core " == *" $dir "* && $target =~ $banned_in_core ]]; then
            fail "$file:$line: the core is sans-IO and may not include $name"
          fi
          ;;
      esac
    done < <(grep -rnE --include='*.h' --include='*.cc' --include='*.c' --include='*.ipp' '^[[:space:]]*#[[:space:]]*include' "$dir" |
      sed -E 's/^([^:]*):([0-9]+):[[:space:]]*#[[:space:]]*include[[:space:]]*(["<][^">]*[">]).*/\1:\2:\3/')
  done
  # Nothing found would mean that nothing was looked at.
  [ "$seen" -gt 20 ] || fail "only $seen includes found under $PWD"
  echo "layering: $seen includes checked"
}

check_symbols() {
  local nm=$1 archive symbols bad seen=0
  shift
  [ $# -gt 0 ] || fail "no archives given"
  for archive in "$@"; do
    symbols=$("$nm" -C --undefined-only "$archive" 2>/dev/null | sed -nE 's/^ +[Uw] (.*)$/\1/p' | sort -u)
    seen=$((seen + $(grep -c . <<<"$symbols")))
    bad=$(grep -E \
      -e '^(socket|socketpair|bind|connect|listen|accept4?|shutdown|send(to|msg|mmsg)?|recv(from|msg|mmsg)?|[gs]etsockopt|p?poll|p?select|read|write|readv|writev|open(at)?(64)?|close|ioctl|syscall|mmap(64)?)(@.*)?$' \
      -e '^(epoll_|eventfd|timerfd|io_uring|pthread_|thrd_|mtx_|clock_|bpf_|btf_|libbpf|xsk_|xdp_|nl_|rtnl_)' \
      -e '^(gettimeofday|time|nanosleep|usleep|sleep|getrandom|getentropy|rand|random|fork)(@.*)?$' \
      -e 'std::chrono::.*::now' -e 'std::thread' -e 'std::random_device' -e 'std::condition_variable' \
      -e 'boost::(asio|beast)' <<<"$symbols")
    if [ -n "$bad" ]; then
      fail "$(basename "$archive") needs what the core may not have:"
      sed 's/^/    /' <<<"$bad" >&2
    fi
  done
  [ "$seen" -gt 0 ] || fail "no undefined symbol at all in $*: was $nm able to read them?"
  echo "layering: $seen undefined symbols of $# archives checked"
}

case "${1:-}" in
  includes) check_includes "$2" ;;
  symbols) shift && check_symbols "$@" ;;
  *) echo "usage: $0 includes SOURCE_DIR | symbols NM ARCHIVE..." >&2 && exit 2 ;;
esac
[ "$failures" -eq 0 ]
