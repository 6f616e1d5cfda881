// SPDX-License-Identifier: MIT
#include "terminal.h"

#include <fmt/core.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>

#include "output.h"

namespace weir::cli {

Signals::Signals(std::initializer_list<int> wanted) {
  sigset_t set{};
  sigemptyset(&set);
  for (const int signal : wanted) sigaddset(&set, signal);
  sigprocmask(SIG_BLOCK, &set, &before_);
  fd_ = xdp::Fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

Signals::~Signals() {
  // What has come is taken, or it would end the process when it is let through again.
  while (take() != 0) {}
  sigprocmask(SIG_SETMASK, &before_, nullptr);
}

int Signals::take() {
  signalfd_siginfo info{};
  return read(fd_.get(), &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo) : 0;
}

void Signals::act(int signal) {
  sigset_t one{};
  sigemptyset(&one);
  sigaddset(&one, signal);
  // It is pending while it is blocked, and does what it does when it is let through.
  raise(signal);
  sigprocmask(SIG_UNBLOCK, &one, nullptr);
  sigprocmask(SIG_BLOCK, &one, nullptr);
}

bool Terminal::there() { return takes_escapes(STDOUT_FILENO); }

Terminal::Size Terminal::size() {
  winsize w{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_col == 0 || w.ws_row == 0) return {};
  return {w.ws_col, w.ws_row};
}

Terminal::Terminal() {
  keys_ = isatty(STDIN_FILENO) == 1 && tcgetattr(STDIN_FILENO, &before_) == 0;
  coloured_ = std::getenv("NO_COLOR") == nullptr;
  enter();
}

Terminal::~Terminal() { leave(); }

void Terminal::enter() {
  if (keys_) {
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);  // Ctrl-C and Ctrl-Z stay signals
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
  }
  // The other screen, without a cursor, and no line goes on in the next.
  put("\033[?1049h\033[?25l\033[?7l\033[2J");
  entered_ = true;
}

void Terminal::leave() {
  if (!entered_) return;
  entered_ = false;
  put("\033[?7h\033[?25h\033[?1049l");
  if (keys_) tcsetattr(STDIN_FILENO, TCSADRAIN, &before_);
}

bool Terminal::draw(const std::vector<Line>& lines) {
  std::string out = "\033[H";
  bool first = true;
  for (const Line& line : lines) {
    if (!first) out += "\r\n";
    first = false;
    out += "\033[2K";
    const char* code = "";
    switch (line.style) {
      case Line::Style::plain:
        break;
      case Line::Style::title:
        code = "1";
        break;
      case Line::Style::dim:
        code = "2";
        break;
      case Line::Style::good:
        code = "32";
        break;
      case Line::Style::caution:
        code = "33";
        break;
      case Line::Style::bad:
        code = "31";
        break;
    }
    out += *code != '\0' && coloured_ ? fmt::format("\033[{}m{}\033[0m", code, line.text) : line.text;
  }
  return put(out + "\033[J");
}

std::string Terminal::keys() {
  std::array<char, 256> typed{};
  const ssize_t n = keys_ ? read(STDIN_FILENO, typed.data(), typed.size()) : 0;
  if (n == 0) keys_ = false;  // end of the input: it would be readable for ever
  std::string_view text(typed.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
  std::string out;
  while (!text.empty()) {
    if (text[0] != '\033') {
      out += text[0];
      text.remove_prefix(1);
      continue;
    }
    // A sequence ends with a letter or '~'.
    const auto end = text.find_first_of("ABCDEFGHPQRS~", 1);
    const std::string_view sequence = text.substr(0, end == std::string_view::npos ? end : end + 1);
    for (const auto& [known, key] : {std::pair{"\033[A", 'k'},
                                     {"\033OA", 'k'},
                                     {"\033[B", 'j'},
                                     {"\033OB", 'j'},
                                     {"\033[5~", 'K'},
                                     {"\033[6~", 'J'}})
      if (sequence == known) out += key;
    text.remove_prefix(sequence.size());
  }
  return out;
}

bool Terminal::put(const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t n = write(STDOUT_FILENO, text.data() + done, text.size() - done);
    if (n > 0) {
      done += static_cast<std::size_t>(n);
    } else if (errno == EAGAIN) {
      pollfd waiting{STDOUT_FILENO, POLLOUT, 0};
      poll(&waiting, 1, 1000);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

}  // namespace weir::cli
