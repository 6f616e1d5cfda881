// SPDX-License-Identifier: MIT
// The terminal as a screen: taken on construction, given back as it was on destruction, on suspension, and whenever a
// signal ends the program by way of its events.
#pragma once

#include <termios.h>

#include <csignal>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "top_view.h"
#include "weir/base/time.h"
#include "weir/xdp/fd.h"

namespace weir::cli {

// Signals that a loop takes as events, blocked while this lives.
class Signals {
 public:
  explicit Signals(std::initializer_list<int> wanted);
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  ~Signals();
  int fd() const { return fd_.get(); }
  // The next that has come; 0: none.
  int take();
  // Does what the signal does by default, as if it had not been taken: for one that stops the process. Returns when the
  // process goes on.
  static void act(int signal);

 private:
  sigset_t before_{};
  xdp::Fd fd_;
};

class Terminal {
 public:
  // Standard output is one that can be drawn on.
  static bool there();
  // Columns and lines of it; 80 and 24 where it does not say.
  struct Size {
    unsigned width = 80;
    unsigned height = 24;
  };
  static Size size();

  Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal();

  // As it was before, and the screen again; enter() also after another has changed it.
  void leave();
  void enter();
  // False where it is gone.
  bool draw(const std::vector<Line>& lines);
  // The keys that have been pressed, in order; arrows and pages as 'k', 'j', 'K', 'J', others that send a sequence not.
  std::string keys();
  // Where keys come from; -1: nowhere.
  int fd() const { return keys_ ? 0 : -1; }

 private:
  bool put(const std::string& text);
  bool keys_ = false;
  bool entered_ = false;
  bool coloured_ = true;
  termios before_{};
};

}  // namespace weir::cli
