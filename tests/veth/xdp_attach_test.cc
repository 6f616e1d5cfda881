// SPDX-License-Identifier: MIT
// Attach, replace, detach: what becomes of the interface, the pins and the kernel's objects.
#include <bpf/bpf.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>

#include "weir/control/heartbeat.h"
#include "weir/control/lock.h"
#include "weir/control/status.h"
#include "xdp_fixture.h"

namespace weir::test {
namespace {

using control::AttachOptions;
using control::DetachOptions;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

class XdpAttach : public VethTest {
 protected:
  static bool program_exists(std::uint32_t id) { return static_cast<bool>(xdp::Fd(bpf_prog_get_fd_by_id(id))); }
  static bool link_exists(std::uint32_t id) { return static_cast<bool>(xdp::Fd(bpf_link_get_fd_by_id(id))); }
  static bool map_exists(std::uint32_t id) { return static_cast<bool>(xdp::Fd(bpf_map_get_fd_by_id(id))); }
  static std::uint32_t map_id(int fd) {
    bpf_map_info info{};
    std::uint32_t length = sizeof info;
    return bpf_obj_get_info_by_fd(fd, &info, &length) == 0 ? info.id : 0;
  }

  void attach_and_detach(xdp::AttachMode mode, weir_xdp_mode expected) {
    const auto report = control::attach({.interface = kServerDevice, .mode = mode});
    ASSERT_TRUE(report.ok()) << report.error().message;
    EXPECT_EQ(report->mode, expected);
    EXPECT_TRUE(report->partial_checksums);
    EXPECT_THAT(report->addresses, ::testing::ElementsAre(*IpAddress::parse(kServerAddress)));
    EXPECT_GE(report->queues, 1u);

    const auto present = xdp::attached_program(ifindex());
    ASSERT_TRUE(present.ok() && present->has_value());
    EXPECT_EQ((*present)->id, report->program_id);
    EXPECT_EQ((*present)->native, expected == WEIR_XDP_NATIVE);

    std::vector<std::uint32_t> map_ids;
    std::uint32_t link = 0;
    {
      auto opened = control::Instance::open(kServerDevice);
      ASSERT_TRUE(opened.ok()) << opened.error().message;
      const auto status = control::read_status(*opened, control::monotonic_now());
      ASSERT_TRUE(status.ok()) << status.error().message;
      EXPECT_TRUE(status->attached);
      EXPECT_EQ(status->mode, expected);
      EXPECT_EQ(status->program_id, report->program_id);
      EXPECT_EQ(status->abi, std::uint32_t{WEIR_ABI_VERSION});
      ASSERT_FALSE(status->queues.empty());
      EXPECT_EQ(status->queues[0].engine, control::EngineState::absent);
      for (const int fd : opened->maps().fds()) map_ids.push_back(map_id(fd));
      link = xdp::read_link(opened->directory()).value().link_id;
    }
    EXPECT_THAT(traces(), SizeIs(2));

    const auto detached = control::detach({.interface = kServerDevice});
    ASSERT_TRUE(detached.ok()) << detached.error().message;
    EXPECT_EQ(detached->removed, 1u);
    EXPECT_FALSE(detached->stale);
    EXPECT_FALSE(xdp::attached_program(ifindex()).value().has_value());
    EXPECT_THAT(traces(), IsEmpty());
    // The kernel frees its objects a moment after their last reference.
    EXPECT_TRUE(eventually([&] { return !program_exists(report->program_id) && !link_exists(link); }));
    for (const std::uint32_t id : map_ids) EXPECT_TRUE(eventually([&] { return !map_exists(id); })) << id;
  }
};

TEST_F(XdpAttach, NativeAndNothingIsLeft) { attach_and_detach(xdp::AttachMode::native, WEIR_XDP_NATIVE); }
TEST_F(XdpAttach, GenericAndNothingIsLeft) { attach_and_detach(xdp::AttachMode::generic, WEIR_XDP_GENERIC); }
TEST_F(XdpAttach, AutomaticTakesNativeWhereItWorks) { attach_and_detach(xdp::AttachMode::automatic, WEIR_XDP_NATIVE); }

TEST_F(XdpAttach, ASecondAttachIsRefusedAndHarmsNothing) {
  attach();
  const auto before = xdp::attached_program(ifindex()).value()->id;
  const auto second = control::attach({.interface = kServerDevice});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, EEXIST);
  EXPECT_THAT(second.error().message, HasSubstr("already attached to " + kServerDevice));
  EXPECT_THAT(second.error().message, HasSubstr("weir attach --replace"));
  EXPECT_EQ(xdp::attached_program(ifindex()).value()->id, before);
  EXPECT_THAT(traces(), SizeIs(2));
}

TEST_F(XdpAttach, AnotherXdpProgramIsNamed) {
  const bpf_insn pass[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = XDP_PASS},
                           {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  const xdp::Fd program(bpf_prog_load(BPF_PROG_TYPE_XDP, "somebodys", "GPL", pass, 2, nullptr));
  ASSERT_TRUE(program);
  LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_SKB_MODE);
  const xdp::Fd link(bpf_link_create(program.get(), static_cast<int>(ifindex()), BPF_XDP, &options));
  ASSERT_TRUE(link);
  const auto report = control::attach({.interface = kServerDevice});
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().code, EBUSY);
  EXPECT_THAT(report.error().message, HasSubstr("somebodys"));
  EXPECT_THAT(traces(), IsEmpty());
}

TEST_F(XdpAttach, WhatCannotBeServedIsRefusedByName) {
  struct Case {
    const char* interface;
    int code;
    const char* says;
  };
  run("ip link add name br0 type bridge");
  run("ip link add name port type veth peer name port2");
  run("ip link set port master br0");
  run("ip tuntap add mode tun layer3");
  for (const Case& c : {Case{"no-such", ENODEV, "no interface named no-such"}, Case{"", ENODEV, "no interface"},
                        Case{"lo", EOPNOTSUPP, "loopback"}, Case{"layer3", EOPNOTSUPP, "not an Ethernet interface"},
                        Case{"port", EOPNOTSUPP, "port of bridge br0"}}) {
    const auto report = control::attach({.interface = c.interface});
    ASSERT_FALSE(report.ok()) << c.interface;
    EXPECT_EQ(report.error().code, c.code) << report.error().message;
    EXPECT_THAT(report.error().message, HasSubstr(c.says));
    EXPECT_THAT(report.error().message, Not(HasSubstr("\n")));
  }
  EXPECT_THAT(traces(), IsEmpty());
}

TEST_F(XdpAttach, ARefusedNativeModeLeavesNothingAndAutomaticFallsBack) {
  // More transmit queues at the peer than receive queues here: native XDP on a veth is refused.
  run("ip link add few numrxqueues 1 numtxqueues 1 type veth peer name many numrxqueues 4 numtxqueues 4");
  run("ip link set few up; ip link set many up; ethtool -L many tx 4 > /dev/null");
  const auto native = control::attach({.interface = "few", .mode = xdp::AttachMode::native});
  ASSERT_FALSE(native.ok());
  EXPECT_THAT(native.error().message, HasSubstr("few: attaching in native mode"));
  EXPECT_THAT(traces(), IsEmpty());
  EXPECT_FALSE(xdp::attached_program(if_nametoindex("few")).value().has_value());

  const auto automatic = control::attach({.interface = "few"});
  ASSERT_TRUE(automatic.ok()) << automatic.error().message;
  EXPECT_EQ(automatic->mode, WEIR_XDP_GENERIC);
  ASSERT_THAT(automatic->notes, Not(IsEmpty()));
  EXPECT_THAT(automatic->notes[0], HasSubstr("native was refused"));
  EXPECT_TRUE(control::detach({.interface = "few"}).ok());
}

TEST_F(XdpAttach, ReplaceKeepsMapsAndChangesTheProgram) {
  attach();
  play_engine({control::Protocol::tcp, 8080});
  const auto secrets = maps().secrets();
  ASSERT_TRUE(secrets.ok());
  const auto hash_key = maps().config().hash_key[0];
  EXPECT_NE(hash_key, 0u);
  const auto before = xdp::attached_program(ifindex()).value()->id;

  const auto report = control::attach({.interface = kServerDevice, .bypass_firewall = true, .replace = true});
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_TRUE(report->replaced);
  EXPECT_TRUE(report->bypass_firewall);
  EXPECT_TRUE(report->partial_checksums);
  EXPECT_NE(report->program_id, before);
  EXPECT_EQ(xdp::attached_program(ifindex()).value()->id, report->program_id);
  EXPECT_EQ(maps().config().hash_key[0], hash_key);
  const auto kept = maps().secrets();
  ASSERT_TRUE(kept.ok());
  EXPECT_EQ(std::memcmp(&*kept, &*secrets, sizeof *kept), 0);
  EXPECT_TRUE(maps().find_steer(IPPROTO_TCP, 8080).has_value());
  EXPECT_TRUE(eventually([&] { return !program_exists(before); }));
  xdp::store(maps().heartbeats()[0].monotonic_ns, weir_u64{0});
}

TEST_F(XdpAttach, ReplaceOfNothingIsAnError) {
  const auto report = control::attach({.interface = kServerDevice, .replace = true});
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().code, ENOENT);
  EXPECT_THAT(report.error().message, HasSubstr("weir attach " + kServerDevice));
}

TEST_F(XdpAttach, DetachOfNothingIsAnError) {
  const auto none = control::detach({.interface = kServerDevice});
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code, ENOENT);
  EXPECT_THAT(none.error().message, HasSubstr("not attached to " + kServerDevice));
  const auto unknown = control::detach({.interface = "no-such"});
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().code, ENODEV);
}

TEST_F(XdpAttach, AnotherAbiIsRefusedByName) {
  attach();
  maps().config().abi_version = WEIR_ABI_VERSION + 1;
  const std::string says = "have ABI " + std::to_string(WEIR_ABI_VERSION + 1) + ", this weir speaks " +
                           std::to_string(WEIR_ABI_VERSION) + ": detach with the weir that attached them";
  const auto opened = control::Instance::open(kServerDevice);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, EPROTO);
  EXPECT_THAT(opened.error().message, HasSubstr(says));
  const auto replaced = control::attach({.interface = kServerDevice, .replace = true});
  ASSERT_FALSE(replaced.ok());
  EXPECT_THAT(replaced.error().message, HasSubstr(says));
  const auto detached = control::detach({.interface = kServerDevice});
  ASSERT_FALSE(detached.ok());
  EXPECT_THAT(detached.error().message, HasSubstr(says));
  EXPECT_TRUE(xdp::attached_program(ifindex()).value().has_value());

  EXPECT_TRUE(control::detach({.interface = kServerDevice, .force = true}).ok());
  EXPECT_FALSE(xdp::attached_program(ifindex()).value().has_value());
}

TEST_F(XdpAttach, DetachCountsLiveFlowsAndForceAsksTheEngineFirst) {
  attach();
  play_engine({control::Protocol::tcp, 8080});
  weir_steer& entry = maps().steer()[*maps().find_steer(IPPROTO_TCP, 8080)];
  xdp::store(entry.flows, weir_u32{3});
  const auto refused = control::detach({.interface = kServerDevice});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, EBUSY);
  EXPECT_THAT(refused.error().message, HasSubstr("3 live connections"));
  EXPECT_THAT(refused.error().message, HasSubstr("--force"));

  // An engine that leaves when it is asked to; the program must still be there then.
  bool attached_when_asked = false;
  std::thread engine([&] {
    while ((xdp::load(maps().config().flags) & WEIR_CONFIG_DETACHING) == 0) beat();
    struct stat st {};
    attached_when_asked = stat((instance().directory() + "/link").c_str(), &st) == 0;
    xdp::store(entry.flows, weir_u32{0});
    xdp::store(maps().heartbeats()[0].monotonic_ns, weir_u64{0});
  });
  const auto forced = control::detach({.interface = kServerDevice, .force = true, .patience = Duration::seconds(10)});
  engine.join();
  ASSERT_TRUE(forced.ok()) << forced.error().message;
  EXPECT_TRUE(attached_when_asked);
  EXPECT_EQ(forced->flows_reset, 3u);
  EXPECT_FALSE(forced->engine_unresponsive);
  EXPECT_FALSE(xdp::attached_program(ifindex()).value().has_value());
}

TEST_F(XdpAttach, FlowsOfAStoppedEngineHoldADetachAndThoseOfADeadOneDoNot) {
  attach();
  play_engine({control::Protocol::tcp, 8080});
  xdp::store(maps().steer()[*maps().find_steer(IPPROTO_TCP, 8080)].flows, weir_u32{3});
  // Silent for long, and its process (this one) exists: it is stopped, and may go on.
  weir_heartbeat& beat = maps().heartbeats()[0];
  xdp::store(beat.monotonic_ns, static_cast<weir_u64>(xdp::monotonic_ns() - 4'000'000'000));
  const auto refused = control::detach({.interface = kServerDevice});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, EBUSY);
  const pid_t child = fork();
  if (child == 0) _exit(0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  xdp::store(beat.pid, static_cast<weir_u32>(child));
  const auto detached = control::detach({.interface = kServerDevice});
  ASSERT_TRUE(detached.ok()) << detached.error().message;
  EXPECT_EQ(detached->flows_reset, 0u);
}

TEST_F(XdpAttach, WhatADeletedInterfaceLeftIsStaleAndRemovable) {
  attach();
  run(std::string("ip link del ") + kServerDevice);
  const auto all = control::list();
  ASSERT_TRUE(all.ok()) << all.error().message;
  const auto own = std::find_if(all->begin(), all->end(), [&](const auto& s) {
    return s.ifindex == ifindex() && s.netns_cookie == control::netns_cookie().value();
  });
  ASSERT_NE(own, all->end());
  EXPECT_TRUE(own->stale);
  EXPECT_EQ(own->interface, kServerDevice);
  const auto detached = control::detach({.interface = kServerDevice});
  ASSERT_TRUE(detached.ok()) << detached.error().message;
  EXPECT_TRUE(detached->stale);
  EXPECT_THAT(traces(), IsEmpty());
}

TEST_F(XdpAttach, ARenamedInterfaceKeepsItsInstance) {
  attach();
  // Older kernels rename only what is down.
  run(std::string("ip link set ") + kServerDevice + " down");
  run(std::string("ip link set ") + kServerDevice + " name renamed up");
  EXPECT_TRUE(control::Instance::open("renamed").ok());
  EXPECT_TRUE(control::detach({.interface = "renamed"}).ok());
}

TEST_F(XdpAttach, AnAttachThatWasKilledHalfWayIsSweptUp) {
  // Maps pinned and no link: what a kill between the two leaves.
  const auto cookie = control::netns_cookie().value();
  const std::string directory = xdp::pin_directory(cookie, ifindex());
  {
    const auto lock = control::Lock::acquire();
    ASSERT_TRUE(xdp::prepare_bpffs().ok());
    auto program = xdp::Program::load();
    ASSERT_TRUE(program.ok()) << program.error().message;
    ASSERT_TRUE(program->pin_maps(directory).ok());
    program->keep();
  }
  EXPECT_THAT(traces(), SizeIs(1));
  const auto all = control::list();
  ASSERT_TRUE(all.ok()) << all.error().message;
  const auto own = std::find_if(all->begin(), all->end(), [&](const auto& s) { return s.directory == directory; });
  ASSERT_NE(own, all->end());
  EXPECT_TRUE(own->interrupted);
  EXPECT_EQ(own->interface, kServerDevice);
  attach();
  EXPECT_TRUE(control::detach({.interface = kServerDevice}).ok());
}

// A feed lets the lock go and takes it again at once, and whoever confirms a change must not wait for its end.
TEST_F(XdpAttach, WhoWaitsForTheLockIsNext) {
  for (int round = 0; round < 20; ++round) {
    auto held = std::optional(control::Lock::acquire());
    ASSERT_TRUE(held->ok());
    std::atomic<bool> had{false};
    std::thread waiting([&] {
      const auto lock = control::Lock::acquire();
      EXPECT_TRUE(lock.ok());
      had = true;
    });
    const xdp::Fd turn(open(WEIR_RUN_DIR "/lock.next", O_RDWR | O_CLOEXEC));
    while (flock(turn.get(), LOCK_EX | LOCK_NB) == 0) {
      flock(turn.get(), LOCK_UN);
      std::this_thread::yield();
    }
    EXPECT_FALSE(had);
    held.reset();
    EXPECT_TRUE(control::Lock::acquire().ok());
    EXPECT_TRUE(had);
    waiting.join();
  }
}

TEST_F(XdpAttach, AProgramThatIsNotKeptUndoesItself) {
  const auto cookie = control::netns_cookie().value();
  const auto lock = control::Lock::acquire();
  ASSERT_TRUE(xdp::prepare_bpffs().ok());
  {
    auto program = xdp::Program::load();
    ASSERT_TRUE(program.ok()) << program.error().message;
    ASSERT_TRUE(program->pin_maps(xdp::pin_directory(cookie, ifindex())).ok());
    ASSERT_TRUE(program->attach(ifindex(), xdp::AttachMode::generic).ok());
    EXPECT_TRUE(xdp::attached_program(ifindex()).value().has_value());
  }
  EXPECT_FALSE(xdp::attached_program(ifindex()).value().has_value());
  EXPECT_THAT(traces(), IsEmpty());
}

TEST_F(XdpAttach, TheSameNameInTwoNamespacesDoesNotMeet) {
  attach();
  in_client([&] {
    run(std::string("ip link set ") + kClientDevice + " down");
    run(std::string("ip link set ") + kClientDevice + " name " + kServerDevice + " up");
    const auto none = control::Instance::open(kServerDevice);
    ASSERT_FALSE(none.ok());
    EXPECT_EQ(none.error().code, ENOENT);
    const auto report = control::attach({.interface = kServerDevice, .mode = xdp::AttachMode::generic});
    ASSERT_TRUE(report.ok()) << report.error().message;
    EXPECT_TRUE(control::detach({.interface = kServerDevice}).ok());
  });
  EXPECT_TRUE(control::Instance::open(kServerDevice).ok());
}

TEST_F(XdpAttach, TheLockHasOneHolderAndNamesIt) {
  auto held = control::Lock::acquire();
  ASSERT_TRUE(held.ok()) << held.error().message;
  const auto second = control::Lock::acquire(Duration::milliseconds(20));
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, EWOULDBLOCK);
  EXPECT_THAT(second.error().message, HasSubstr("process " + std::to_string(getpid())));
}

}  // namespace
}  // namespace weir::test
