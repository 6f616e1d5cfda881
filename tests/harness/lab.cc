// SPDX-License-Identifier: MIT
#include "lab.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <optional>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <system_error>

#include "own_mounts.h"
#include "weir/common/abi.h"

namespace weir::testing {
namespace {

namespace fs = std::filesystem;

const fs::path kNetns = "/run/netns";

// In clock ticks since boot; with the pid it names a process for good.
std::optional<unsigned long long> start_time(int pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text((std::istreambuf_iterator<char>(file)), {});
  std::size_t close = text.rfind(')');
  if (close == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(close + 2));
  std::string field;
  for (int i = 3; i <= 22 && fields >> field; ++i)
    if (i == 3 && field == "Z") return std::nullopt;
  return std::stoull(field);
}

int open_or_throw(const fs::path& path) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), path);
  return fd;
}

void enter(int fd) {
  if (::setns(fd, CLONE_NEWNET) != 0) throw std::system_error(errno, std::generic_category(), "setns");
}

void remove(const std::string& netns) {
  try {
    int here = open_or_throw("/proc/thread-self/ns/net");
    int there = open_or_throw(kNetns / netns);
    enter(there);
    std::uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    int s = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    constexpr int kSoNetnsCookie = 71;  // linux/socket.h, since 5.14
    int rc = ::getsockopt(s, SOL_SOCKET, kSoNetnsCookie, &cookie, &size);
    ::close(s);
    enter(here);
    ::close(here);
    ::close(there);
    if (rc == 0)
      for (const char* base : {WEIR_PIN_ROOT, WEIR_RUN_DIR}) {
        std::error_code ignored;
        std::vector<fs::path> left;
        for (const auto& entry : fs::directory_iterator(base, ignored))
          if (entry.path().filename().string().starts_with(std::to_string(cookie) + "-")) left.push_back(entry.path());
        for (const auto& path : left) {
          if (fs::is_directory(path, ignored))
            for (const auto& pin : fs::directory_iterator(path, ignored)) ::unlink(pin.path().c_str());
          fs::remove(path, ignored);
        }
      }
  } catch (const std::system_error&) {
    // Half-made or half-removed: the name goes all the same.
  }
  std::string ignored = "ip netns del " + netns + " 2>/dev/null || true";
  shell(ignored);
}

void sweep() {
  static const std::regex pattern("weirt-([0-9]+)-([0-9]+)-.*");
  std::error_code none;
  std::vector<std::string> dead;
  for (const auto& entry : fs::directory_iterator(kNetns, none)) {
    std::string name = entry.path().filename();
    std::smatch owner;
    if (std::regex_match(name, owner, pattern) && start_time(std::stoi(owner[1])) != std::stoull(owner[2]))
      dead.push_back(name);
  }
  for (const auto& name : dead) remove(name);
}

}  // namespace

std::string shell(const std::string& command) {
  std::string out;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "re");
  if (pipe == nullptr) throw std::system_error(errno, std::generic_category(), "popen");
  char chunk[4096];
  while (std::size_t n = std::fread(chunk, 1, sizeof chunk, pipe)) out.append(chunk, n);
  int status = ::pclose(pipe);
  if (status != 0) throw std::runtime_error(command + ": " + out);
  return out;
}

std::string why_no_lab() {
  if (::geteuid() != 0) return "needs root: namespaces and XDP";
  for (const char* tool : {"ip", "ethtool", "nsenter"}) {
    try {
      shell(std::string("command -v ") + tool);
    } catch (const std::runtime_error&) { return std::string("needs ") + tool; }
  }
  return {};
}

Host::Host(const std::string& name) {
  static std::once_flag swept;
  static std::atomic<int> serial = 0;
  std::call_once(swept, [] {
    own_mounts();
    sweep();
  });
  netns_ = "weirt-" + std::to_string(::getpid()) + "-" + std::to_string(start_time(::getpid()).value_or(0)) + "-" +
           name + std::to_string(serial++);
  shell("ip netns add " + netns_);
  run("ip link set lo up");
}

Host::~Host() {
  try {
    remove(netns_);
  } catch (const std::exception& e) { std::fprintf(stderr, "removing %s: %s\n", netns_.c_str(), e.what()); }
}

std::string Host::run(const std::string& command) const {
  return shell("nsenter --net=/run/netns/" + netns_ + " " + command);
}

void Host::address(const std::string& device, const std::string& prefix) const {
  bool v6 = prefix.find(':') != std::string::npos;
  run("ip addr add " + prefix + " dev " + device + (v6 ? " nodad" : ""));
}

Host::Inside::Inside(const Host& host) : back_(open_or_throw("/proc/thread-self/ns/net")) {
  int there = open_or_throw(kNetns / host.netns());
  enter(there);
  ::close(there);
}

Host::Inside::~Inside() {
  if (::setns(back_, CLONE_NEWNET) != 0) std::terminate();  // what follows would act in the wrong namespace
  ::close(back_);
}

Pair::Pair() : server("server"), client("client") {
  shell("ip link add veth0 netns " + server.netns() + " type veth peer name veth0 netns " + client.netns());
  int last = 1;
  for (Host* host : {&server, &client}) {
    host->run("ethtool -K veth0 tx off");
    host->address("veth0", "10.77.0." + std::to_string(last) + "/24");
    host->address("veth0", "fd77::" + std::to_string(last) + "/64");
    host->run("ip link set veth0 up");
    ++last;
  }
}

}  // namespace weir::testing
