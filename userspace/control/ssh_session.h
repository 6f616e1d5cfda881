// SPDX-License-Identifier: MIT
// The SSH session that a command is typed in: sudo strips the environment that names it, and tmux lets it age, so it is
// looked for among the sockets of the sshd that the command descends from.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/ip_address.h"

namespace weir::control {

struct SshSession {
  enum class Found : std::uint8_t {
    ancestor,     // a socket of an sshd that the process descends from
    terminal,     // likewise, of a client attached to the tmux or screen that it descends from
    environment,  // SSH_CONNECTION or SSH_CLIENT
  };
  Endpoint remote;
  Endpoint local;  // sshd's; the address is :: where it is not known
  Found found = Found::ancestor;
  friend bool operator==(const SshSession&, const SshSession&) = default;
};
const char* found_name(SshSession::Found f);  // "ancestor", ...

// Where it is looked for.
struct SshSearch {
  std::string proc = "/proc";
  pid_t self = 0;                             // whose ancestors are asked; 0: the calling process
  std::optional<std::string> connection;      // SSH_CONNECTION
  std::optional<std::string> client;          // SSH_CLIENT
  std::function<bool(const IpAddress&)> own;  // whether an address is of the network namespace in question
  std::string netns;                          // what /proc/PID/ns/net of its processes reads
};
// Of the calling process, for the calling thread's network namespace.
SshSearch this_process();

// At most 8, each once: those of sockets first; the environment's only where there is no other, and where its local
// address is of the namespace. Sessions with another namespace's sshd and those over loopback are none. Reads only;
// what cannot be read is not there. Root sees all of it.
std::vector<SshSession> ssh_sessions(const SshSearch& search);

// A line of /proc/net/tcp or tcp6.
struct ProcSocket {
  Endpoint local;
  Endpoint remote;
  std::uint32_t state = 0;  // of the kernel: 1 established, 10 listening
  std::uint64_t inode = 0;
};
// Nothing for the title line, and for what is no such line.
std::optional<ProcSocket> parse_proc_socket(std::string_view line);
// "192.0.2.1 50022 198.51.100.7 22"; of SSH_CLIENT "192.0.2.1 50022 22".
std::optional<SshSession> parse_ssh_connection(std::string_view text);
std::optional<SshSession> parse_ssh_client(std::string_view text);

}  // namespace weir::control
