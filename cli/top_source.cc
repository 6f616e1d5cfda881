// SPDX-License-Identifier: MIT
#include "top_source.h"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "weir/xdp/program.h"
#include "words.h"

namespace weir::cli {
namespace {

// Some twenty thousand connections; to read more at each interval would cost more than it tells.
constexpr std::size_t kMostOctets = 16u << 20;

std::string process_name(std::uint32_t pid) {
  std::ifstream file(fmt::format("/proc/{}/comm", pid));
  std::string name;
  std::getline(file, name);
  return name;
}

// Attached anew, an interface has another key.
bool same_maps(const control::Instance& a, const control::Instance& b) {
  return std::memcmp(a.config().hash_key, b.config().hash_key, sizeof a.config().hash_key) == 0;
}

}  // namespace

TopSource::TopSource(control::Instance instance) : interface_(instance.interface()), instance_(std::move(instance)) {
  if (const auto link = xdp::read_link(instance_->directory())) program_ = link->program_id;
}

void TopSource::reset() {
  now_.reset();
  before_.reset();
  told_.reset();
  told_before_.reset();
  question_.reset();
  engine_.clear();
}

void TopSource::lose(std::string why) {
  reset();
  instance_.reset();
  lost_ = std::move(why);
}

// Whether there is an instance to look at: the one from before, or one that has come in its place. Maps that are open
// outlive a detach: counters that nothing moves any more would look like a quiet network.
bool TopSource::follow() {
  replaced_.clear();
  if (instance_) {
    const auto link = xdp::read_link(instance_->directory());
    if (link && link->ifindex != 0 && link->program_id == program_) return true;
  }
  auto found = control::Instance::open(interface_);
  const auto link = found ? xdp::read_link(found->directory()) : xdp::Outcome<xdp::LinkFacts>(Err(found.error()));
  if (!link) {
    lose(link.error().code == ENOENT
             ? fmt::format("{}: weir has been detached; waiting for `weir attach {}`", interface_, interface_)
             : link.error().message + "; waiting");
    return false;
  }
  if (instance_ && same_maps(*instance_, *found)) {
    replaced_ =
        fmt::format("the program was replaced: id {} instead of {}; the counters go on", link->program_id, program_);
  } else {
    reset();
    replaced_ = "attached anew: the counters begin at zero";
  }
  instance_ = std::move(*found);
  program_ = link->program_id;
  lost_.clear();
  return true;
}

void TopSource::look(Instant now) {
  if (!follow()) return;
  auto snapshot = control::take_snapshot(*instance_, now);
  if (!snapshot) {
    lose(snapshot.error().message);
    return;
  }
  Observation seen;
  for (const control::QueueStatus& queue : snapshot->queues)
    seen.applications.push_back(queue.pid != 0 ? process_name(queue.pid) : std::string());
  seen.snapshot = std::move(*snapshot);
  before_ = std::move(now_);
  now_ = std::move(seen);
}

std::optional<Observation> TopSource::observation() const {
  if (!now_) return std::nullopt;
  Observation out = *now_;
  out.connections = told_;
  return out;
}

std::optional<Traffic> TopSource::traffic() const {
  const auto seen = observation();
  if (!seen) return std::nullopt;
  const Observation& now = *seen;
  if (!before_) return make_traffic(now, nullptr);
  Observation before = *before_;
  before.connections = told_before_;
  return make_traffic(now, &before);
}

std::string TopSource::about() const {
  if (!instance_) return "";
  return fmt::format("{} mode, program id {}", mode_name(static_cast<weir_xdp_mode>(instance_->config().xdp_mode)),
                     program_);
}

std::string TopSource::notice() const {
  if (!lost_.empty()) return lost_;
  if (!replaced_.empty()) return replaced_;
  return engine_;
}

void TopSource::ask(Instant now) {
  if (!instance_ || question_) return;
  const std::string path = control::engine_socket_path(instance_->config().netns_cookie, instance_->ifindex());
  auto question = control::EngineQuestion::ask(path, R"({"cmd":"sockets"})", now,
                                               {Duration::seconds(2), Duration::seconds(20), kMostOctets});
  if (question) {
    question_ = std::move(*question);
    return;
  }
  told_.reset();
  told_before_.reset();
  const int code = question.error().code;
  engine_ = code == ENOENT || code == ECONNREFUSED ? "" : question.error().message;
}

std::optional<Instant> TopSource::engine_deadline() const {
  return question_ ? std::optional(question_->deadline()) : std::nullopt;
}

void TopSource::on_engine(Instant now) {
  if (!question_) return;
  auto answer = question_->go_on(now);
  if (!answer) return;
  question_.reset();
  if (!*answer) {
    told_.reset();
    told_before_.reset();
    engine_ = answer->error().code == EFBIG
                  ? "the engine has more connections than are shown here: `weir sockets` has all"
                  : answer->error().message;
    return;
  }
  const Json document = Json::parse(**answer, nullptr, false);
  if (!document.is_object()) {
    engine_ = "the engine gave an answer that is not understood: is it of another version?";
    return;
  }
  told_before_ = std::move(told_);
  told_ = read_connections(document, now);
  engine_.clear();
}

}  // namespace weir::cli
