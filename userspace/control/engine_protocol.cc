// SPDX-License-Identifier: MIT
#include "weir/control/engine_protocol.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "weir/control/status.h"

namespace weir::control {
namespace {

Err<Error> silent() { return xdp::fail("the engine does not answer: it is stopped, or very busy", ETIMEDOUT); }

}  // namespace

std::string engine_socket_path(std::uint64_t netns_cookie, std::uint32_t ifindex) {
  return run_directory(netns_cookie, ifindex) + "/engine.sock";
}

Outcome<xdp::Fd> connect_engine(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return xdp::fail("the engine's socket path is too long", ENAMETOOLONG);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  xdp::Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return Err(xdp::system_error(errno, "opening a Unix socket"));
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EAGAIN) return silent();  // its queue of clients is full
    const bool none = errno == ENOENT || errno == ECONNREFUSED;
    return Err(xdp::system_error(errno, "asking the engine at " + path,
                                 none              ? "no engine runs on that interface"
                                 : errno == EACCES ? "run it as root or as the engine's user"
                                                   : ""));
  }
  return fd;
}

Outcome<EngineQuestion> EngineQuestion::ask(const std::string& path, const std::string& request, Instant now,
                                            const Bounds& bounds) {
  auto fd = connect_engine(path);
  if (!fd) return Err(fd.error());
  return EngineQuestion(std::move(*fd), request + "\n", path, now, bounds);
}

EngineQuestion::EngineQuestion(xdp::Fd fd, std::string line, std::string path, Instant now, const Bounds& bounds)
    : fd_(std::move(fd)),
      line_(std::move(line)),
      path_(std::move(path)),
      bounds_(bounds),
      quiet_until_(now + bounds.patience),
      whole_until_(bounds.whole == Duration::max() ? Instant::never() : now + bounds.whole) {}

short EngineQuestion::events() const { return sent_ < line_.size() ? POLLOUT : POLLIN; }

std::optional<Outcome<std::string>> EngineQuestion::go_on(Instant now) {
  while (sent_ < line_.size()) {
    const ssize_t n = ::send(fd_.get(), line_.data() + sent_, line_.size() - sent_, MSG_NOSIGNAL);
    if (n > 0)
      sent_ += static_cast<std::size_t>(n);
    else if (errno == EAGAIN)
      break;
    else if (errno == EPIPE || errno == ECONNRESET)
      sent_ = line_.size();  // it listens no more; what it said before that is there to be read
    else if (errno != EINTR)
      return Outcome<std::string>(Err(xdp::system_error(errno, "asking the engine at " + path_)));
  }
  std::array<char, 65'536> buffer;
  // So much at one time, that the one who asks is never held up by a long answer.
  for (int reads = 0; sent_ == line_.size() && reads < 64; ++reads) {
    const ssize_t n = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (n > 0) {
      if (answer_.size() + static_cast<std::size_t>(n) > bounds_.octets)
        return Outcome<std::string>(xdp::fail("the engine's answer is longer than what is read of it", EFBIG));
      answer_.append(buffer.data(), static_cast<std::size_t>(n));
      quiet_until_ =
          now + bounds_.patience;  // thousands of connections take their time to tell; silence is what counts
    } else if (n == 0) {
      if (answer_.empty())
        return Outcome<std::string>(xdp::fail("the engine refused to answer: it is another user's", EACCES));
      return Outcome<std::string>(std::move(answer_));
    } else if (errno == EAGAIN) {
      break;
    } else if (errno == ECONNRESET && !answer_.empty() && answer_.back() == '\n') {
      return Outcome<std::string>(std::move(answer_));  // whole: it was our question that it did not read
    } else if (errno != EINTR) {
      return Outcome<std::string>(Err(xdp::system_error(errno, "reading the engine's answer")));
    }
  }
  if (now >= deadline()) return Outcome<std::string>(silent());
  return std::nullopt;
}

Outcome<std::string> ask_engine(const std::string& path, const std::string& request, Duration patience) {
  auto question = EngineQuestion::ask(path, request, monotonic_now(), {patience, Duration::max(), SIZE_MAX});
  if (!question) return Err(question.error());
  for (;;) {
    auto answer = question->go_on(monotonic_now());
    if (answer) return std::move(*answer);
    const std::int64_t left = (question->deadline() - monotonic_now()).count_ms() + 1;
    pollfd waiting{question->fd(), question->events(), 0};
    if (::poll(&waiting, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000))) < 0 && errno != EINTR)
      return Err(xdp::system_error(errno, "waiting for the engine"));
  }
}

}  // namespace weir::control
