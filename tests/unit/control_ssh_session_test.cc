// SPDX-License-Identifier: MIT
// Which SSH session a command is typed in, told by a /proc of the test's own making.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "weir/control/ssh_session.h"

namespace weir::control {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Found = SshSession::Found;
namespace fs = std::filesystem;

SshSession session(const char* remote, std::uint16_t remote_port, const char* local, std::uint16_t port, Found found) {
  return {Endpoint{*IpAddress::parse(remote), remote_port}, Endpoint{*IpAddress::parse(local), port}, found};
}

class SshSessions : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/weirt-proc-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
    process(1, 0, "systemd");
  }
  void TearDown() override { fs::remove_all(root_); }

  void process(pid_t pid, pid_t parent, const std::string& name, const std::string& netns = "net:[1]",
               std::initializer_list<std::uint64_t> sockets = {}) {
    const fs::path at = root_ / std::to_string(pid);
    fs::create_directories(at / "fd");
    fs::create_directories(at / "ns");
    fs::create_directories(at / "net");
    std::ofstream(at / "stat") << pid << " (" << name << ") S " << parent << " 1 1 0";
    fs::create_symlink(netns, at / "ns/net");
    fs::create_symlink("/dev/null", at / "fd/0");
    int fd = 3;
    for (const std::uint64_t inode : sockets)
      fs::create_symlink("socket:[" + std::to_string(inode) + "]", at / "fd" / std::to_string(fd++));
  }
  // Lines as the kernel writes them; the addresses in its notation.
  void sockets(pid_t pid, const std::string& tcp, const std::string& tcp6 = "") {
    const std::string title =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
    std::ofstream(root_ / std::to_string(pid) / "net/tcp") << title << tcp;
    std::ofstream(root_ / std::to_string(pid) / "net/tcp6") << title << tcp6;
  }
  static std::string line(const std::string& local, const std::string& remote, const char* state, std::uint64_t inode) {
    return "   0: " + local + " " + remote + " " + state + " 00000000:00000000 00:00000000 00000000     0        0 " +
           std::to_string(inode) + " 1 0000000000000000 20 4 30 10 -1\n";
  }
  SshSearch search(pid_t self) const {
    SshSearch out;
    out.proc = root_.string();
    out.self = self;
    out.netns = "net:[1]";
    out.own = [](const IpAddress& a) { return a == *IpAddress::parse("198.51.100.7"); };
    return out;
  }

  // 198.51.100.7 and 192.0.2.1, as this machine's /proc writes them (little-endian, as the machines of the tests are).
  static constexpr const char* kListening = "00000000:0016";
  static constexpr const char* kLocal = "076433C6:0016";
  static constexpr const char* kRemote = "010200C0:C366";
  fs::path root_;
};

TEST_F(SshSessions, ASocketOfTheSshdThatTheCommandDescendsFrom) {
  process(100, 1, "sshd", "net:[1]", {1});
  process(200, 100, "sshd", "net:[1]", {7, 8});
  process(201, 200, "sshd", "net:[1]", {7, 9});
  process(300, 201, "bash");
  process(301, 300, "sudo");
  process(302, 301, "a (name) with brackets");
  process(303, 302, "weir");
  // 8 and 9 are forwarded connections: one that sshd opened, one that it accepted on a port of its own.
  const std::string table = line(kListening, "00000000:0000", "0A", 1) +
                            line("076433C6:9C40", "0A0200C0:0050", "01", 8) + line(kLocal, kRemote, "01", 7) +
                            line("076433C6:1F90", "0B0200C0:C000", "01", 9) + line(kLocal, "0C0200C0:C000", "01", 10);
  for (const pid_t pid : {100, 200, 201}) sockets(pid, table);
  EXPECT_THAT(ssh_sessions(search(303)), ElementsAre(session("192.0.2.1", 50022, "198.51.100.7", 22, Found::ancestor)));
  // The environment, which sudo strips and a terminal ages, has no say then.
  SshSearch aged = search(303);
  aged.connection = "203.0.113.9 1 198.51.100.7 22";
  EXPECT_EQ(ssh_sessions(aged).size(), 1u);
  EXPECT_EQ(ssh_sessions(aged)[0].remote.address.to_string(), "192.0.2.1");
}

TEST_F(SshSessions, AnIpv6SocketMayHoldAnIpv4Session) {
  process(200, 1, "sshd-session", "net:[1]", {7});
  process(300, 200, "weir");
  sockets(200, "", line("0000000000000000FFFF0000076433C6:0016", "0000000000000000FFFF0000010200C0:C366", "01", 7));
  EXPECT_THAT(ssh_sessions(search(300)), ElementsAre(session("192.0.2.1", 50022, "198.51.100.7", 22, Found::ancestor)));
  EXPECT_TRUE(ssh_sessions(search(300))[0].remote.address.is_v4());
  sockets(200, "", line("B80D0120000000000000000007000000:0016", "B80D0120000000000000000001000000:C366", "01", 7));
  EXPECT_THAT(ssh_sessions(search(300)),
              ElementsAre(session("2001:db8::1", 50022, "2001:db8::7", 22, Found::ancestor)));
}

TEST_F(SshSessions, WhatIsNoSession) {
  process(200, 1, "sshd", "net:[1]", {7});
  process(300, 200, "weir");
  sockets(200, line(kLocal, kRemote, "06", 7) + line(kLocal, kRemote, "01", 8));
  EXPECT_THAT(ssh_sessions(search(300)), IsEmpty()) << "not established, and not its own";
  sockets(200, line("0100007F:0016", "0100007F:C366", "01", 7));
  EXPECT_THAT(ssh_sessions(search(300)), IsEmpty()) << "over loopback";
  process(400, 1, "sshd", "net:[2]", {7});
  process(401, 400, "weir");
  sockets(400, line(kLocal, kRemote, "01", 7));
  EXPECT_THAT(ssh_sessions(search(401)), IsEmpty()) << "in another network namespace";
  process(500, 1, "my-sshd", "net:[1]", {7});
  process(501, 500, "weir");
  sockets(500, line(kLocal, kRemote, "01", 7));
  EXPECT_THAT(ssh_sessions(search(501)), IsEmpty()) << "no sshd";
  EXPECT_THAT(ssh_sessions(search(999)), IsEmpty()) << "no such process";
}

TEST_F(SshSessions, ThoseAttachedToTheTerminalOfTheCommand) {
  process(200, 1, "sshd", "net:[1]", {7});
  sockets(200, line(kLocal, kRemote, "01", 7));
  process(201, 200, "bash");
  process(202, 201, "tmux: client");
  process(300, 1, "tmux: server");
  process(301, 300, "bash");
  process(302, 301, "weir");
  EXPECT_THAT(ssh_sessions(search(302)), ElementsAre(session("192.0.2.1", 50022, "198.51.100.7", 22, Found::terminal)));
  // Nobody is attached: the environment is all there is.
  fs::remove_all(root_ / "202");
  SshSearch aged = search(302);
  EXPECT_THAT(ssh_sessions(aged), IsEmpty());
  aged.connection = "192.0.2.9 50022 198.51.100.7 2222";
  EXPECT_THAT(ssh_sessions(aged), ElementsAre(session("192.0.2.9", 50022, "198.51.100.7", 2222, Found::environment)));
}

TEST_F(SshSessions, TheEnvironment) {
  process(300, 1, "weir");
  SshSearch s = search(300);
  s.connection = "192.0.2.1 50022 198.51.100.7 22";
  s.client = "192.0.2.1 50022 22";
  EXPECT_THAT(ssh_sessions(s), ElementsAre(session("192.0.2.1", 50022, "198.51.100.7", 22, Found::environment)));
  s.connection = "192.0.2.1 50022 198.51.100.8 22";
  EXPECT_THAT(ssh_sessions(s), IsEmpty()) << "the local address is of another namespace";
  s.connection.reset();
  EXPECT_THAT(ssh_sessions(s), ElementsAre(session("192.0.2.1", 50022, "::", 22, Found::environment)));
  for (const char* wrong : {"", "x", "192.0.2.1", "192.0.2.1 50022", "192.0.2.1 x 22", "192.0.2.1 50022 0",
                            "192.0.2.1 50022 65536", "192.0.2.1 50022 198.51.100.7 22 more", "a b c d"}) {
    EXPECT_FALSE(parse_ssh_client(wrong)) << wrong;
    EXPECT_FALSE(parse_ssh_connection(wrong)) << wrong;
  }
  EXPECT_EQ(parse_ssh_connection("::ffff:192.0.2.1 1 ::ffff:198.51.100.7 22")->remote.address.to_string(), "192.0.2.1");
  EXPECT_EQ(parse_ssh_connection("fe80::1%eth0 1 fe80::2%eth0 22")->remote.address.to_string(), "fe80::1");
}

TEST_F(SshSessions, LinesThatAreNoSocket) {
  for (const char* wrong :
       {"", "  sl  local_address rem_address st", "0: 0:0 0:0 01 a b c d e f",
        "0: 010200C0 010200C0:0016 01 a b c d e 7", "0: 010200C:0016 010200C0:0016 01 a b c d e 7",
        "0: 010200C0:10016 010200C0:0016 01 a b c d e 7", "0: 010200C0:0016 010200C0:0016 01 a b c d e"})
    EXPECT_FALSE(parse_proc_socket(wrong)) << wrong;
  EXPECT_EQ(parse_proc_socket("0: 010200C0:0016 020200C0:0017 0A a b c d e 7")->state, 10u);
}

}  // namespace
}  // namespace weir::control
