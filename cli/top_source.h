// SPDX-License-Identifier: MIT
// Follows one interface over time: looks at its counters again and again, asks its engine without waiting for it, and
// goes on when the interface is detached, attached anew or gone.
#pragma once

#include <optional>
#include <string>

#include "traffic.h"
#include "weir/control/engine_protocol.h"
#include "weir/control/instance.h"

namespace weir::cli {

class TopSource {
 public:
  explicit TopSource(control::Instance instance);

  // Reads the counters. What came before stays as the other end of the rates, unless they began anew.
  void look(Instant now);
  // Nothing: weir is not attached now; notice() says it.
  std::optional<Traffic> traffic() const;
  // What the last look saw, with what the engine told last.
  std::optional<Observation> observation() const;
  const std::string& interface() const { return interface_; }
  std::string about() const;   // "native mode, program id 77"
  std::string notice() const;  // one line; empty where all is well

  // Asks the engine for its connections, unless a question is on its way.
  void ask(Instant now);
  // Descriptor to poll for engine_events(); -1: no question is on its way.
  int engine_fd() const { return question_ ? question_->fd() : -1; }
  short engine_events() const { return question_ ? question_->events() : short{0}; }
  std::optional<Instant> engine_deadline() const;
  // After engine_fd() was ready, or its deadline has passed.
  void on_engine(Instant now);

 private:
  bool follow();
  void lose(std::string why);
  void reset();

  std::string interface_;
  std::optional<control::Instance> instance_;
  std::uint32_t program_ = 0;
  std::optional<Observation> now_;
  std::optional<Observation> before_;
  std::optional<Connections> told_;         // by the engine, last
  std::optional<Connections> told_before_;  // the time before
  std::optional<control::EngineQuestion> question_;
  std::string lost_;      // why there is nothing to see
  std::string replaced_;  // what happened at the last look
  std::string engine_;    // why the engine does not tell
};

}  // namespace weir::cli
