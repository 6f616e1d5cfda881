// SPDX-License-Identifier: MIT
// Who owns a flow, against real kernel sockets on the loopback addresses of the test's own namespace.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "xdp_test.h"

namespace weir::bpf_test {
namespace {

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) { EXPECT_GE(fd, 0) << std::strerror(errno); }
  Socket(Socket&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
  Socket& operator=(Socket&&) = delete;
  ~Socket() { shut(); }
  int fd() const { return fd_; }
  void shut() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }

 private:
  int fd_;
};

struct Name {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;

  static Name loopback(Family family, std::uint16_t port) {
    Name n;
    if (family == Family::v4) {
      sockaddr_in a{};
      a.sin_family = AF_INET;
      a.sin_port = to_be16(port);
      a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      std::memcpy(&n.storage, &a, n.size = sizeof a);
    } else {
      sockaddr_in6 a{};
      a.sin6_family = AF_INET6;
      a.sin6_port = to_be16(port);
      a.sin6_addr = in6addr_loopback;
      std::memcpy(&n.storage, &a, n.size = sizeof a);
    }
    return n;
  }
  static Name of(const Socket& s) {
    Name n;
    EXPECT_EQ(getsockname(s.fd(), n.address(), &n.size), 0);
    return n;
  }
  sockaddr* address() { return reinterpret_cast<sockaddr*>(&storage); }
  // sin_port and sin6_port are at one place.
  std::uint16_t port() const {
    sockaddr_in a{};
    std::memcpy(&a, &storage, sizeof a);
    return from_be16(a.sin_port);
  }
};

class Ownership : public XdpTest, public testing::WithParamInterface<Family> {
 protected:
  void SetUp() override {
    XdpTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    local_ = GetParam() == Family::v4 ? IpAddress::v4(127, 0, 0, 1) : *IpAddress::parse("::1");
    add_local(local_);
    kernel_may_own(true);
  }
  void kernel_may_own(bool may) {
    edit_entry(kTcpEntry, [&](weir_steer& e) {
      e.syns_to_kernel = may ? 1 : 0;
      e.kernel_clear = 0;
    });
  }

  Socket listen_on(std::uint16_t port, bool defer_accept = false) {
    Socket s(socket(domain(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int one = 1;
    setsockopt(s.fd(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    const int seconds = 60;
    if (defer_accept) setsockopt(s.fd(), IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds);
    Name name = Name::loopback(GetParam(), port);
    EXPECT_EQ(bind(s.fd(), name.address(), name.size), 0) << std::strerror(errno);
    EXPECT_EQ(listen(s.fd(), 8), 0) << std::strerror(errno);
    return s;
  }
  Socket connect_to(std::uint16_t port) {
    Socket s(socket(domain(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    Name name = Name::loopback(GetParam(), port);
    EXPECT_EQ(connect(s.fd(), name.address(), name.size), 0) << std::strerror(errno);
    return s;
  }
  static Socket accept_from(const Socket& listener) { return Socket(accept(listener.fd(), nullptr, nullptr)); }

  // A segment from the client's end of a loopback connection to the server's.
  Packet segment(std::uint16_t from_port, std::string_view flags, std::uint16_t to_port = kSteeredTcp) const {
    return Packet().ip(local_, local_).tcp(from_port, to_port, flags);
  }

  int domain() const { return GetParam() == Family::v4 ? AF_INET : AF_INET6; }
  IpAddress local_;
};

INSTANTIATE_TEST_SUITE_P(Families, Ownership, testing::Values(Family::v4, Family::v6),
                         [](const auto& p) { return p.param == Family::v4 ? "v4" : "v6"; });

TEST_P(Ownership, AListenerOwnsNothing) {
  const Socket listener = listen_on(kSteeredTcp);
  EXPECT_EQ(reason(segment(kPeerPort, "S")), "STEER_SYN") << "the shadow listener does not take the engine's SYNs";
  EXPECT_EQ(reason(segment(kPeerPort, "A")), "STEER_SEGMENT");
}

TEST_P(Ownership, AnEstablishedConnectionStaysWithTheKernel) {
  const Socket listener = listen_on(kSteeredTcp);
  const Socket client = connect_to(kSteeredTcp);
  const Socket server = accept_from(listener);
  const std::uint16_t port = Name::of(client).port();
  for (const char* flags : {"A", "PA", "FA", "R"})
    EXPECT_EQ(reason(segment(port, flags)), "PASS_KERNEL_OWNED") << flags;
  EXPECT_EQ(reason(segment(static_cast<std::uint16_t>(port ^ 1), "A")), "STEER_SEGMENT") << "another client";
}

TEST_P(Ownership, ASynOnAHeldTupleIsTheKernelsAndIsNoted) {
  const Socket listener = listen_on(kSteeredTcp);
  const Socket client = connect_to(kSteeredTcp);
  const Socket server = accept_from(listener);
  EXPECT_EQ(reason(segment(Name::of(client).port(), "S")), "PASS_KERNEL_OWNED");
  EXPECT_EQ(entry(kTcpEntry).syns_to_kernel, 2u);
}

TEST_P(Ownership, TimeWaitCounts) {
  const Socket listener = listen_on(kSteeredTcp);
  Socket client = connect_to(kSteeredTcp);
  Socket server = accept_from(listener);
  const std::uint16_t port = Name::of(client).port();
  server.shut();  // the side that closes first waits
  pollfd ended{client.fd(), POLLIN, 0};
  ASSERT_EQ(poll(&ended, 1, 10'000), 1);
  client.shut();
  EXPECT_EQ(reason(segment(port, "FA")), "PASS_KERNEL_OWNED");
  EXPECT_EQ(reason(segment(port, "S")), "PASS_KERNEL_OWNED");
}

// With TCP_DEFER_ACCEPT the handshake's last ACK leaves the connection a request (NEW_SYN_RECV) until text comes.
TEST_P(Ownership, NewSynReceivedCounts) {
  const Socket listener = listen_on(kSteeredTcp, true);
  const Socket client = connect_to(kSteeredTcp);
  EXPECT_EQ(reason(segment(Name::of(client).port(), "A")), "PASS_KERNEL_OWNED");
  pollfd nothing{listener.fd(), POLLIN, 0};
  EXPECT_EQ(poll(&nothing, 1, 0), 0) << "it was a request, not yet a connection";
}

// The price of the look-up is paid only while it can find something.
TEST_P(Ownership, NoLookUpWhileTheKernelIsClear) {
  const Socket listener = listen_on(kSteeredTcp);
  const Socket client = connect_to(kSteeredTcp);
  const Socket server = accept_from(listener);
  kernel_may_own(false);
  EXPECT_EQ(reason(segment(Name::of(client).port(), "A")), "STEER_SEGMENT");
}

TEST_P(Ownership, OwnedFramesPassWhateverTheEngineDoes) {
  const Socket listener = listen_on(kSteeredTcp);
  const Socket client = connect_to(kSteeredTcp);
  const Socket server = accept_from(listener);
  const std::uint16_t port = Name::of(client).port();
  beat(0, 4 * kSecond);
  EXPECT_EQ(reason(segment(port, "A")), "PASS_KERNEL_OWNED") << "stopped";
  beat(0, std::nullopt);
  EXPECT_EQ(reason(segment(port, "A")), "PASS_KERNEL_OWNED") << "left";
  edit_entry(kTcpEntry, [](weir_steer& e) { e.flags = WEIR_STEER_ABSENT_DROP | WEIR_STEER_DRAINING; });
  EXPECT_EQ(reason(segment(port, "A")), "PASS_KERNEL_OWNED") << "draining";
}

TEST_P(Ownership, ErrorsAboutAKernelConnectionPass) {
  const Socket listener = listen_on(kSteeredTcp);
  const Socket client = connect_to(kSteeredTcp);
  const Socket server = accept_from(listener);
  const auto error = [&](std::uint16_t port) {
    const Packet sent = Packet().ip(local_, local_).tcp(kSteeredTcp, port, "A").text(20);
    return Packet().ip(local_, local_).icmp(GetParam() == Family::v4 ? 3 : 1).quote(sent);
  };
  const std::uint16_t port = Name::of(client).port();
  EXPECT_EQ(reason(error(port)), "PASS_KERNEL_OWNED");
  EXPECT_EQ(reason(error(static_cast<std::uint16_t>(port ^ 1))), "STEER_ICMP");
}

}  // namespace
}  // namespace weir::bpf_test
