// SPDX-License-Identifier: MIT
// AF_XDP sockets against a kernel peer, and who holds a queue.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>

#include "weir/control/heartbeat.h"
#include "weir/control/stats.h"
#include "weir/wire/ethernet.h"
#include "weir/wire/ipv4.h"
#include "weir/wire/tcp.h"
#include "weir/wire/udp.h"
#include "weir/xdp/inherit.h"
#include "xdp_fixture.h"

namespace weir::test {
namespace {

using control::Port;
using control::Protocol;
using ::testing::HasSubstr;

class XdpSocket : public VethTest {
 protected:
  void SetUp() override {
    VethTest::SetUp();
    if (!IsSkipped()) attach(xdp::AttachMode::native);
  }
  void TearDown() override {
    // The engine that a test played is gone.
    if (!IsSkipped() && !HasFatalFailure()) xdp::store(maps().heartbeats()[0].monotonic_ns, weir_u64{0});
    VethTest::TearDown();
  }

  // Waits for one frame.
  static std::optional<xdp::RxFrame> receive_one(xdp::Socket& socket) {
    pollfd p{socket.fd(), POLLIN, 0};
    xdp::RxFrame frame;
    for (int i = 0; i < 5; ++i) {
      if (socket.receive({&frame, 1}) == 1) return std::optional(std::move(frame));
      poll(&p, 1, 1000);
    }
    return {};
  }

  xdp::SocketConfig small() const {
    xdp::SocketConfig c;
    c.ifindex = ifindex();
    c.rings = {64, 64, 64, 64};
    c.umem = {.frames = 128, .chunk_size = 2048, .headroom = 0, .huge_pages = false};
    return c;
  }
  // Creates a socket and tries to take queue 0.
  xdp::Outcome<xdp::Socket> take_queue(Duration patience) const {
    auto s = xdp::Socket::create(small());
    if (!s) return s;
    if (auto r = s->map_rings(); !r) return Err(r.error());
    if (auto r = s->bind(xdp::BindMode::automatic, patience); !r) return Err(r.error());
    return s;
  }
};

TEST_F(XdpSocket, ReceivesADatagramOfASteeredPortWithMetadata) {
  play_engine({Protocol::udp, 9000});
  auto socket = open_socket();
  ASSERT_TRUE(socket);
  EXPECT_FALSE(socket->is_zero_copy());
  in_client([] { send_udp(9000, "to the engine"); });
  auto frame = receive_one(*socket);
  ASSERT_TRUE(frame);

  const auto ethernet = wire::EthernetView::parse(frame->bytes);
  const auto ip = wire::Ipv4View::parse(ethernet->payload());
  ASSERT_TRUE(ip);
  EXPECT_EQ(ip->dst().to_string(), kServerAddress);
  const auto udp = wire::UdpView::parse(ip->payload());
  ASSERT_TRUE(udp);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(udp->payload().data()), udp->payload().size()), "to the engine");

  ASSERT_TRUE(frame->meta);
  EXPECT_EQ(frame->meta->reason, WEIR_R_STEER_DATAGRAM);
  EXPECT_EQ(frame->meta->l3_offset, 14);
  EXPECT_EQ(frame->meta->l4_offset, 34);
  EXPECT_EQ(frame->meta->steer, *maps().find_steer(IPPROTO_UDP, 9000));
  EXPECT_EQ(control::steer_list(maps()).value()[0].counter.packets, 1u);
}

TEST_F(XdpSocket, ReceivesASynOfASteeredPort) {
  play_engine({Protocol::tcp, 8080});
  auto socket = open_socket();
  ASSERT_TRUE(socket);
  xdp::Fd client;
  in_client([&] {
    client = xdp::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(8080);
    inet_pton(AF_INET, kServerAddress, &to.sin_addr);
    connect(client.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to);
  });
  auto frame = receive_one(*socket);
  ASSERT_TRUE(frame);
  ASSERT_TRUE(frame->meta);
  EXPECT_EQ(frame->meta->reason, WEIR_R_STEER_SYN);
}

TEST_F(XdpSocket, ReceivesMoreThanItsRingsHoldWhenItRefills) {
  play_engine({Protocol::udp, 9000});
  auto socket = open_socket();
  ASSERT_TRUE(socket);
  const std::size_t total = socket->umem().frames();
  for (int i = 0; i < 300; ++i) {
    beat();
    in_client([&] { send_udp(9000, std::to_string(i)); });
    auto frame = receive_one(*socket);
    ASSERT_TRUE(frame) << i;
    const auto ip = wire::Ipv4View::parse(wire::EthernetView::parse(frame->bytes)->payload());
    const auto udp = wire::UdpView::parse(ip->payload());
    ASSERT_EQ(std::string(reinterpret_cast<const char*>(udp->payload().data()), udp->payload().size()),
              std::to_string(i));
    frame.reset();
    socket->refill();
  }
  // All chunks are where they belong: in the fill ring or free.
  EXPECT_EQ(socket->umem().available(), total - 64);
}

TEST_F(XdpSocket, HugePagesAreTakenWhereThereAreAny) {
  std::ifstream file("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
  int free = 0;
  if (!(file >> free) || free < 2) GTEST_SKIP() << "no free huge pages: reserve some (sysctl vm.nr_hugepages=4)";
  xdp::SocketConfig c = small();
  c.umem.huge_pages = true;
  auto socket = xdp::Socket::create(c);
  ASSERT_TRUE(socket.ok()) << socket.error().message;
  EXPECT_TRUE(socket->umem().huge_pages());
  ASSERT_TRUE(socket->map_rings().ok());
  const auto bound = socket->bind(xdp::BindMode::automatic);
  EXPECT_TRUE(bound.ok()) << bound.error().message;
  EXPECT_EQ(socket->refill(), 64u);
}

TEST_F(XdpSocket, AnEmptyFillRingIsCounted) {
  play_engine({Protocol::udp, 9000});
  auto socket = open_socket();
  ASSERT_TRUE(socket);
  in_client([&] {
    for (int i = 0; i < 100; ++i) send_udp(9000, "x");
  });
  const auto lost = [&] {
    const auto s = socket->statistics();
    return s.rx_fill_ring_empty + s.rx_ring_full + s.rx_dropped;
  };
  EXPECT_TRUE(eventually([&] { return lost() >= 36; }));
  EXPECT_EQ(lost(), 36u) << "each frame once";
}

class XdpTransmit : public XdpSocket {
 protected:
  static constexpr std::uint32_t kFrames = 100;

  void SetUp() override {
    XdpSocket::SetUp();
    if (IsSkipped()) return;
    in_client([&] {
      peer_ = control::read_interface(kClientDevice)->mac;
      receiver_ = xdp::Fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
      sockaddr_in own{};
      own.sin_family = AF_INET;
      own.sin_port = htons(7000);
      ASSERT_EQ(bind(receiver_.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own), 0);
    });
    const timeval patience{5, 0};
    setsockopt(receiver_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  void TearDown() override {
    receiver_.reset();
    XdpSocket::TearDown();
  }

  // kFrames datagrams for the client, numbered.
  std::vector<xdp::TxRequest> datagrams(xdp::Socket& socket) {
    const IpAddress src = *IpAddress::parse(kServerAddress);
    const IpAddress dst = *IpAddress::parse(kClientAddress);
    const MacAddress own = MacAddress::load(reinterpret_cast<const std::byte*>(maps().config().mac));
    std::vector<xdp::TxRequest> requests(kFrames);
    for (std::uint32_t i = 0; i < kFrames; ++i) {
      requests[i].frame = socket.umem().allocate();
      const Bytes bytes = requests[i].frame.bytes();
      wire::EthernetHeader{.dst = peer_, .src = own}.write(bytes);
      const std::size_t udp = wire::UdpHeader{.src_port = 9000, .dst_port = 7000}.write(
          bytes.subspan(34), src, dst, as_const_bytes(std::to_string(i)));
      wire::Ipv4Header header;
      header.src = src;
      header.dst = dst;
      header.protocol = wire::IpProtocol::udp;
      header.payload_length = static_cast<std::uint16_t>(udp);
      header.write(bytes.subspan(14));
      requests[i].length = static_cast<std::uint32_t>(34 + udp);
    }
    return requests;
  }
  void expect_all_arrived() {
    for (std::uint32_t i = 0; i < kFrames; ++i) {
      char text[16];
      const ssize_t n = recv(receiver_.get(), text, sizeof text, 0);
      ASSERT_GT(n, 0) << i;
      ASSERT_EQ(std::string(text, static_cast<std::size_t>(n)), std::to_string(i));
    }
  }

 private:
  xdp::Fd receiver_;
  MacAddress peer_;
};

TEST_F(XdpTransmit, OneKickDrainsTheRing) {
  auto socket = open_socket();
  ASSERT_TRUE(socket);
  const std::size_t available = socket->umem().available();
  auto requests = datagrams(*socket);
  EXPECT_EQ(socket->tx_room(), 256u);
  ASSERT_EQ(socket->transmit(requests), kFrames);
  EXPECT_FALSE(requests[0].frame);
  EXPECT_EQ(socket->tx_in_flight(), kFrames);
  EXPECT_EQ(socket->kick_tx(), xdp::KickResult::done);
  expect_all_arrived();
  EXPECT_TRUE(eventually([&] { return socket->complete() != 0 && socket->tx_in_flight() == 0; }));
  EXPECT_EQ(socket->umem().available(), available);
  EXPECT_EQ(socket->statistics().tx_failed, 0u);
}

TEST_F(XdpTransmit, AFullCompletionRingHoldsTheRestBack) {
  auto socket = open_socket(64);
  ASSERT_TRUE(socket);
  auto requests = datagrams(*socket);
  ASSERT_EQ(socket->transmit(requests), kFrames);
  EXPECT_EQ(socket->kick_tx(), xdp::KickResult::again);
  EXPECT_TRUE(eventually([&] {
    socket->complete();
    return socket->kick_tx() == xdp::KickResult::done;
  }));
  expect_all_arrived();
}

TEST_F(XdpTransmit, FramesThatTheDriverRefusesAreCounted) {
  auto socket = open_socket();
  ASSERT_TRUE(socket);
  in_client([] { run(std::string("ip link set ") + kClientDevice + " down"); });
  auto requests = datagrams(*socket);
  ASSERT_EQ(socket->transmit(requests), kFrames);
  EXPECT_EQ(socket->kick_tx(), xdp::KickResult::done);
  EXPECT_EQ(socket->statistics().tx_failed, kFrames);
  socket->complete();
  EXPECT_EQ(socket->tx_in_flight(), 0u);
}

TEST_F(XdpSocket, ALinkThatIsDownIsSaidSo) {
  auto socket = open_socket();
  ASSERT_TRUE(socket);
  run(std::string("ip link set ") + kServerDevice + " down");
  xdp::TxRequest request;
  request.frame = socket->umem().allocate();
  request.length = 64;
  ASSERT_EQ(socket->transmit({&request, 1}), 1u);
  EXPECT_EQ(socket->kick_tx(), xdp::KickResult::link_down);
}

TEST_F(XdpSocket, ADeviceThatIsGoneIsSaidSo) {
  auto socket = open_socket();
  ASSERT_TRUE(socket);
  run(std::string("ip link del ") + kServerDevice);
  xdp::TxRequest request;
  request.frame = socket->umem().allocate();
  request.length = 64;
  ASSERT_EQ(socket->transmit({&request, 1}), 1u);
  EXPECT_EQ(socket->kick_tx(), xdp::KickResult::device_gone);
}

TEST_F(XdpSocket, AQueueHasOneSocket) {
  auto first = take_queue(Duration());
  ASSERT_TRUE(first.ok()) << first.error().message;
  const auto second = take_queue(Duration::milliseconds(20));
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, EBUSY);
  EXPECT_THAT(second.error().message, HasSubstr("queue 0 of " + kServerDevice));
  first->close();
  EXPECT_FALSE(first->valid());
  const auto third = take_queue(Duration::seconds(5));
  EXPECT_TRUE(third.ok()) << third.error().message;
}

TEST_F(XdpSocket, AQueueThatIsNotThereIsAnError) {
  xdp::SocketConfig c = small();
  c.queue = 63;
  auto socket = xdp::Socket::create(c);
  ASSERT_TRUE(socket.ok());
  EXPECT_FALSE(socket->try_bind(xdp::BindMode::copy).ok());  // before map_rings
  ASSERT_TRUE(socket->map_rings().ok());
  const auto r = socket->bind(xdp::BindMode::automatic);
  ASSERT_FALSE(r.ok());
  EXPECT_THAT(r.error().message, HasSubstr("queue 63 of " + kServerDevice));
  c.rings.rx = 100;
  EXPECT_THAT(xdp::Socket::create(c).error().message, HasSubstr("power of two"));
}

// Forks a child that stays until it is told to go; it exits 0 if the sockets it inherited were dead.
class IdleChild {
 public:
  explicit IdleChild(const xdp::Socket& socket) {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) return;
    pid_ = fork();
    if (pid_ == 0) {
      close(fds[1]);
      const bool dead = !socket.valid();
      char byte;
      static_cast<void>(read(fds[0], &byte, 1) < 0);
      _exit(dead ? 0 : 1);
    }
    close(fds[0]);
    leash_ = xdp::Fd(fds[1]);
  }
  int leave() {
    leash_.reset();
    int status = -1;
    waitpid(pid_, &status, 0);
    return status;
  }

 private:
  pid_t pid_ = -1;
  xdp::Fd leash_;
};

TEST_F(XdpSocket, AForkedChildDoesNotKeepTheQueue) {
  auto first = take_queue(Duration());
  ASSERT_TRUE(first.ok()) << first.error().message;
  IdleChild child(*first);
  EXPECT_TRUE(first->valid());
  first->close();
  const auto second = take_queue(Duration::seconds(5));
  EXPECT_TRUE(second.ok()) << second.error().message;
  EXPECT_EQ(child.leave(), 0);
}

TEST_F(XdpSocket, AKilledOwnersChildDoesNotKeepTheQueue) {
  int ready[2];
  ASSERT_EQ(pipe2(ready, O_CLOEXEC), 0);
  const pid_t owner = fork();
  if (owner == 0) {
    auto socket = take_queue(Duration());
    const pid_t grandchild = socket.ok() ? fork() : -1;
    if (grandchild == 0) {
      // Lives on after its parent's death, until the test closes the other end.
      close(ready[1]);
      pause();
      _exit(0);
    }
    static_cast<void>(write(ready[1], &grandchild, sizeof grandchild) < 0);
    pause();
    _exit(0);
  }
  close(ready[1]);
  pid_t grandchild = -1;
  ASSERT_EQ(read(ready[0], &grandchild, sizeof grandchild), static_cast<ssize_t>(sizeof grandchild));
  close(ready[0]);
  ASSERT_GT(grandchild, 0);
  EXPECT_EQ(take_queue(Duration()).error().code, EBUSY);
  kill(owner, SIGKILL);
  waitpid(owner, nullptr, 0);
  EXPECT_EQ(kill(grandchild, 0), 0);
  const auto socket = take_queue(Duration::seconds(5));
  EXPECT_TRUE(socket.ok()) << socket.error().message;
  kill(grandchild, SIGKILL);
}

// What `weir run` does: root creates, an unprivileged process maps, binds and receives.
TEST_F(XdpSocket, AnUnprivilegedHeirMapsBindsAndReceives) {
  play_engine({Protocol::udp, 9000});
  auto socket = xdp::Socket::create(small());
  ASSERT_TRUE(socket.ok()) << socket.error().message;
  auto opened = xdp::Maps::open(instance().directory());
  ASSERT_TRUE(opened.ok());
  xdp::Inherited passed;
  passed.sockets = {socket->pass_on()};
  passed.maps = opened->pass_on();
  EXPECT_EQ(fcntl(passed.sockets[0].fd, F_GETFD) & FD_CLOEXEC, 0);
  setenv(xdp::kInheritVariable, xdp::encode({passed}).c_str(), 1);
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t heir = fork();
  if (heir == 0) {
    if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0) _exit(9);
    auto inherited = xdp::take_inherited();
    if (!inherited || inherited->size() != 1) _exit(11);
    auto heirs_maps = xdp::Maps::adopt((*inherited)[0].maps);
    auto heirs = xdp::Socket::adopt((*inherited)[0].sockets[0]);
    if (!heirs_maps || !heirs) _exit(12);
    if (!heirs->map_rings()) _exit(14);
    if (!heirs->bind(xdp::BindMode::automatic)) _exit(15);
    heirs->refill();
    if (!heirs_maps->set_xsk(0, heirs->fd())) _exit(16);
    xdp::store(heirs_maps->heartbeats()[0].monotonic_ns, static_cast<weir_u64>(xdp::monotonic_ns()));
    if (write(ready[1], "r", 1) != 1) _exit(17);
    const auto frame = receive_one(*heirs);
    _exit(frame && frame->meta ? 0 : 18);
  }
  unsetenv(xdp::kInheritVariable);
  close(ready[1]);
  char byte;
  if (read(ready[0], &byte, 1) == 1) in_client([] { send_udp(9000, "for the heir"); });
  close(ready[0]);
  int status = -1;
  waitpid(heir, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace weir::test
