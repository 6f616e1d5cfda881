// SPDX-License-Identifier: MIT
// The XDP program: loaded from the object embedded in this binary, attached by a bpf_link of our own, pinned beside its
// maps.
//
// Pins of one interface lie in WEIR_PIN_ROOT/<netns cookie>-<ifindex>/: each map under its name, and `link`. A pinned
// link keeps the program attached when the process ends; removing that pin detaches it.
//
// All calls act on the calling thread's network namespace. Not thread-safe against writers in other processes: hold
// control::Lock.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "weir/xdp/error.h"
#include "weir/xdp/maps.h"

namespace weir::xdp {

enum class AttachMode : std::uint8_t { automatic, native, generic };  // automatic: native, or else generic

// An XDP program that an interface runs, whoever attached it.
struct AttachedProgram {
  std::uint32_t id = 0;
  std::string name;
  bool native = false;
};

// What runs on the interface; nothing where nothing does.
Outcome<std::optional<AttachedProgram>> attached_program(std::uint32_t ifindex);

struct LinkFacts {
  std::uint32_t link_id = 0;
  std::uint32_t program_id = 0;
  std::uint32_t ifindex = 0;  // 0: its interface no longer exists
  // By libxdp's dispatcher: there is no link of ours, and whether the dispatcher still has the program is_dispatched()
  // tells, in the interface's namespace alone.
  bool shared = false;
};

std::string pin_directory(std::uint64_t netns_cookie, std::uint32_t ifindex);

// Mounts the BPF file system at /sys/fs/bpf where it is not mounted, and makes WEIR_PIN_ROOT. Refuses to mount it in a
// mount namespace of its own (`ip netns exec`), where the pins would be nobody else's.
Outcome<void> prepare_bpffs();
// An error where the BPF file system is out of sight, so that "not attached" is not said of what merely cannot be seen.
Outcome<void> require_bpffs();

struct AttachOutcome {
  weir_xdp_mode mode = WEIR_XDP_NATIVE;
  std::string native_refusal;  // why it is not native, where it was tried
};

// A loaded program on its way to an interface. Whatever was pinned by it and not kept() is removed by the destructor,
// so a failure on the way leaves nothing.
class Program {
 public:
  // Loads with maps of its own. `log`, where given, gets what libbpf and the verifier said.
  static Outcome<Program> load(std::string* log = nullptr);
  // Loads with the maps pinned in `directory`; those must have this ABI.
  static Outcome<Program> load_with_maps_of(const std::string& directory, std::string* log = nullptr);
  Program(Program&&) noexcept;
  Program& operator=(Program&&) noexcept;
  ~Program();

  std::uint32_t id() const;
  // The maps, for filling them in before frames come.
  Outcome<Maps> maps() const;

  // Pins the maps in `directory`, which must not exist.
  Outcome<void> pin_maps(const std::string& directory);
  // Attaches and pins the link in the directory of pin_maps().
  Outcome<AttachOutcome> attach(std::uint32_t ifindex, AttachMode mode);
  // Loads it beside other programs into libxdp's dispatcher, with the maps of pin_maps(), and pins it there.
  Outcome<AttachOutcome> attach_shared(std::uint32_t ifindex, AttachMode mode, std::string* log = nullptr);
  // Puts this program in the place of the one that the link pinned in `directory` holds; no frame is missed.
  Outcome<void> replace(const std::string& directory);
  // From here on the pins stay.
  void keep();

 private:
  struct State;
  explicit Program(std::unique_ptr<State> state);
  std::unique_ptr<State> s_;
};

Outcome<LinkFacts> read_link(const std::string& directory);
// Detaches by removing the pins, the link's first; also of a directory that is only half there.
Outcome<void> unpin_all(const std::string& directory);

}  // namespace weir::xdp
