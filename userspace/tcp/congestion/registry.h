// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/tcp/congestion/controller.h"

namespace weir::tcp {

// What became of the wish for another controller.
enum class CongestionChange : std::uint8_t {
  done,
  no_such_connection,
  no_such_controller,  // the registry has none of that name
  needs_ecn,           // and the connection, or the configuration, has none
};

// Names one of a registry's controllers.
using ControllerIndex = std::uint8_t;
inline constexpr ControllerIndex kDefaultController = 0xff;  // the one that the configuration names

// Congestion controllers by name. A program adds its own before it makes a stack; the stack keeps a copy.
class ControllerRegistry {
 public:
  // Makes one for a new connection; called once for each. What it refers to must outlive the stack.
  using Factory = std::function<std::unique_ptr<Controller>()>;

  static constexpr std::size_t kMostControllers = kDefaultController;
  static constexpr std::size_t kMostNameBytes = 31;

  // With "cubic", "reno", "bbr" and "dctcp".
  ControllerRegistry();

  // Takes the place of one of the same name. False: no factory, too many, or `name` is empty, longer than
  // kMostNameBytes, or has other than lower-case letters, digits, "-" and "_".
  bool add(std::string_view name, Factory make);
  std::optional<ControllerIndex> find(std::string_view name) const;
  std::vector<std::string> names() const;
  // `index` is find()'s.
  std::unique_ptr<Controller> make(ControllerIndex index) const;

 private:
  struct Entry {
    std::string name;
    Factory make;
  };
  std::vector<Entry> entries_;
};

}  // namespace weir::tcp
