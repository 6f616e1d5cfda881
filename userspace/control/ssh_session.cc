// SPDX-License-Identifier: MIT
#include "weir/control/ssh_session.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <set>

#include "weir/xdp/fd.h"

namespace weir::control {
namespace {

constexpr std::size_t kMostSessions = 8;
// A chain of processes, and a machine's processes: more are not followed.
constexpr int kMostAncestors = 64;
constexpr int kMostProcesses = 100'000;
constexpr std::size_t kMostSockets = 1'000'000;
constexpr std::uint32_t kEstablished = 1;
constexpr std::uint32_t kListening = 10;

template <class T>
std::optional<T> whole(std::string_view text, int base = 10) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::vector<std::string_view> fields_of(std::string_view text) {
  std::vector<std::string_view> out;
  constexpr std::string_view kBlank = " \t\n";
  for (;;) {
    const auto begin = text.find_first_not_of(kBlank);
    if (begin == std::string_view::npos) return out;
    text.remove_prefix(begin);
    const auto end = std::min(text.find_first_of(kBlank), text.size());
    out.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

// Words in the machine's order, each of four octets in the network's.
std::optional<IpAddress> proc_address(std::string_view hex) {
  std::array<std::byte, 16> bytes{};
  if (hex.size() != 8 && hex.size() != 32) return std::nullopt;
  for (std::size_t w = 0; w < hex.size() / 8; ++w) {
    const auto word = whole<std::uint32_t>(hex.substr(8 * w, 8), 16);
    if (!word) return std::nullopt;
    std::memcpy(&bytes[4 * w], &*word, 4);
  }
  return hex.size() == 8 ? IpAddress::v4(bytes.data()) : IpAddress::v6(bytes.data());
}

std::optional<Endpoint> proc_endpoint(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto address = proc_address(text.substr(0, colon));
  const auto port = whole<std::uint16_t>(text.substr(colon + 1), 16);
  if (!address || !port) return std::nullopt;
  return Endpoint{*address, *port};
}

std::optional<Endpoint> endpoint(std::string_view address, std::string_view port) {
  const auto a = IpAddress::parse(address.substr(0, address.find('%')));
  const auto p = whole<std::uint16_t>(port);
  if (!a || !p || *p == 0) return std::nullopt;
  return Endpoint{*a, *p};
}

std::string link_text(const std::string& path) {
  char text[64];
  const ssize_t n = readlink(path.c_str(), text, sizeof text);
  return n > 0 ? std::string(text, static_cast<std::size_t>(n)) : std::string();
}

struct CloseDirectory {
  void operator()(DIR* d) const { closedir(d); }
};

template <class Entry>
void each_name(const std::string& path, Entry entry) {
  const std::unique_ptr<DIR, CloseDirectory> directory(opendir(path.c_str()));
  if (!directory) return;
  while (const dirent* e = readdir(directory.get()))
    if (!entry(std::string_view(e->d_name))) return;
}

struct Process {
  pid_t pid = 0;
  pid_t parent = 0;
  std::string name;
};

std::optional<Process> read_process(const std::string& proc, pid_t pid) {
  std::ifstream file(proc + "/" + std::to_string(pid) + "/stat");
  std::string text;
  if (!std::getline(file, text, '\0')) return std::nullopt;
  // "pid (name) state ppid ...": a name may hold anything, brackets too.
  const auto open = text.find('(');
  const auto close = text.rfind(')');
  if (open == std::string::npos || close == std::string::npos || close < open) return std::nullopt;
  const auto rest = fields_of(std::string_view(text).substr(close + 1));
  const auto parent = rest.size() > 1 ? whole<pid_t>(rest[1]) : std::nullopt;
  if (!parent) return std::nullopt;
  return Process{pid, *parent, text.substr(open + 1, close - open - 1)};
}

// From the process itself upwards.
std::vector<Process> ancestors(const std::string& proc, pid_t pid) {
  std::vector<Process> out;
  for (int i = 0; i < kMostAncestors && pid > 0; ++i) {
    auto process = read_process(proc, pid);
    if (!process) break;
    pid = process->parent;
    out.push_back(std::move(*process));
  }
  return out;
}

bool is_sshd(const Process& p) {
  // From OpenSSH 9.8 on a session is a program of its own.
  return p.name == "sshd" || p.name == "sshd-session" || p.name == "dropbear";
}
bool is_terminal_server(const Process& p) { return p.name == "tmux: server" || p.name == "screen"; }
bool is_terminal_client(const Process& p) { return p.name == "tmux: client" || p.name == "screen"; }

std::set<std::uint64_t> socket_inodes(const std::string& proc, pid_t pid) {
  constexpr std::string_view kSocket = "socket:[";
  std::set<std::uint64_t> out;
  const std::string path = proc + "/" + std::to_string(pid) + "/fd";
  each_name(path, [&](std::string_view name) {
    const std::string text = link_text(path + "/" + std::string(name));
    if (text.size() > kSocket.size() + 1 && text.rfind(kSocket, 0) == 0 && text.back() == ']')
      if (const auto inode =
              whole<std::uint64_t>(std::string_view(text).substr(kSocket.size(), text.size() - kSocket.size() - 1)))
        out.insert(*inode);
    return true;
  });
  return out;
}

struct Sockets {
  std::vector<ProcSocket> established;  // among the inodes
  std::set<std::uint16_t> listening;    // all of the namespace's ports
};

Sockets sockets_of(const std::string& proc, pid_t pid, const std::set<std::uint64_t>& inodes) {
  Sockets out;
  for (const char* table : {"tcp", "tcp6"}) {
    std::ifstream file(proc + "/" + std::to_string(pid) + "/net/" + table);
    std::string line;
    for (std::size_t i = 0; i < kMostSockets && std::getline(file, line); ++i) {
      const auto socket = parse_proc_socket(line);
      if (!socket) continue;
      if (socket->state == kListening) out.listening.insert(socket->local.port);
      if (socket->state == kEstablished && inodes.count(socket->inode) != 0) out.established.push_back(*socket);
    }
  }
  return out;
}

// The session's own socket among those of an sshd, which forwards connections, too: on a port that somebody listens on,
// and opened before the others.
std::optional<ProcSocket> session_socket(const Sockets& sockets) {
  std::optional<ProcSocket> best;
  const auto rank = [&](const ProcSocket& s) { return std::pair(sockets.listening.count(s.local.port) == 0, s.inode); };
  for (const ProcSocket& s : sockets.established)
    if (!best || rank(s) < rank(*best)) best = s;
  return best;
}

std::optional<SshSession> by_ancestor(const SshSearch& search, const std::vector<Process>& chain,
                                      SshSession::Found found) {
  // From the top: the process that keeps the privileges has the session's socket and no forwarded ones. The one above
  // it, which listens, has none.
  for (auto p = chain.rbegin(); p != chain.rend(); ++p) {
    if (!is_sshd(*p)) continue;
    if (link_text(search.proc + "/" + std::to_string(p->pid) + "/ns/net") != search.netns) continue;
    const auto socket = session_socket(sockets_of(search.proc, p->pid, socket_inodes(search.proc, p->pid)));
    if (socket) return SshSession{socket->remote, socket->local, found};
  }
  return std::nullopt;
}

std::optional<uid_t> owner(const std::string& proc, pid_t pid) {
  struct stat facts {};
  if (stat((proc + "/" + std::to_string(pid)).c_str(), &facts) != 0) return std::nullopt;
  return facts.st_uid;
}

// Those attached to a tmux or screen of the same user: which of them typed cannot be told.
void by_terminal(const SshSearch& search, const std::vector<Process>& chain,
                 const std::function<void(SshSession)>& add) {
  const auto server = std::find_if(chain.begin(), chain.end(), is_terminal_server);
  if (server == chain.end()) return;
  const auto user = owner(search.proc, server->pid);
  int seen = 0;
  each_name(search.proc, [&](std::string_view name) {
    const auto pid = whole<pid_t>(name);
    if (!pid) return true;
    if (++seen > kMostProcesses) return false;
    const auto process = read_process(search.proc, *pid);
    if (!process || !is_terminal_client(*process) || owner(search.proc, *pid) != user) return true;
    const auto above = ancestors(search.proc, *pid);
    if (const auto session = by_ancestor(search, above, SshSession::Found::terminal)) add(*session);
    return true;
  });
}

std::optional<SshSession> by_environment(const SshSearch& search) {
  if (search.connection) {
    auto session = parse_ssh_connection(*search.connection);
    if (session && search.own && !search.own(session->local.address)) return std::nullopt;
    if (session) return session;
  }
  return search.client ? parse_ssh_client(*search.client) : std::nullopt;
}

// Whether a socket of this thread's namespace may have the address.
bool is_own(const IpAddress& address) {
  const xdp::Fd socket(::socket(address.is_v4() ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return true;
  if (address.is_v4()) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    std::memcpy(&to.sin_addr, address.wire().data(), 4);
    return bind(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
  }
  // Of a link-local one only the interface's scope could say; there is one on every link.
  if (address.is_link_local()) return true;
  sockaddr_in6 to{};
  to.sin6_family = AF_INET6;
  std::memcpy(&to.sin6_addr, address.wire().data(), 16);
  return bind(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
}

std::optional<std::string> variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

}  // namespace

const char* found_name(SshSession::Found f) {
  switch (f) {
    case SshSession::Found::ancestor:
      return "ancestor";
    case SshSession::Found::terminal:
      return "terminal";
    case SshSession::Found::environment:
      return "environment";
  }
  return "?";
}

std::optional<ProcSocket> parse_proc_socket(std::string_view line) {
  const auto fields = fields_of(line);
  if (fields.size() < 10) return std::nullopt;
  const auto local = proc_endpoint(fields[1]);
  const auto remote = proc_endpoint(fields[2]);
  const auto state = whole<std::uint32_t>(fields[3], 16);
  const auto inode = whole<std::uint64_t>(fields[9]);
  if (!local || !remote || !state || !inode) return std::nullopt;
  return ProcSocket{*local, *remote, *state, *inode};
}

std::optional<SshSession> parse_ssh_connection(std::string_view text) {
  const auto fields = fields_of(text);
  if (fields.size() != 4) return std::nullopt;
  const auto remote = endpoint(fields[0], fields[1]);
  const auto local = endpoint(fields[2], fields[3]);
  if (!remote || !local) return std::nullopt;
  return SshSession{*remote, *local, SshSession::Found::environment};
}

std::optional<SshSession> parse_ssh_client(std::string_view text) {
  const auto fields = fields_of(text);
  if (fields.size() != 3) return std::nullopt;
  const auto remote = endpoint(fields[0], fields[1]);
  const auto port = whole<std::uint16_t>(fields[2]);
  if (!remote || !port || *port == 0) return std::nullopt;
  return SshSession{*remote, Endpoint{IpAddress(), *port}, SshSession::Found::environment};
}

SshSearch this_process() {
  SshSearch out;
  out.self = getpid();
  out.connection = variable("SSH_CONNECTION");
  out.client = variable("SSH_CLIENT");
  out.own = is_own;
  out.netns = link_text("/proc/thread-self/ns/net");
  return out;
}

std::vector<SshSession> ssh_sessions(const SshSearch& search) {
  std::vector<SshSession> out;
  const auto add = [&](const SshSession& s) {
    const bool known = std::any_of(out.begin(), out.end(), [&](const SshSession& o) {
      return o.remote.address == s.remote.address && o.local.port == s.local.port;
    });
    if (!known && !s.remote.address.is_loopback() && out.size() < kMostSessions) out.push_back(s);
  };
  const auto chain = ancestors(search.proc, search.self != 0 ? search.self : getpid());
  if (const auto session = by_ancestor(search, chain, SshSession::Found::ancestor)) add(*session);
  by_terminal(search, chain, add);
  if (out.empty())
    if (const auto session = by_environment(search)) add(*session);
  return out;
}

}  // namespace weir::control
