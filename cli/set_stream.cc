// SPDX-License-Identifier: MIT
#include "set_stream.h"

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "filter_change.h"
#include "output.h"
#include "weir/control/heartbeat.h"
#include "weir/control/sets.h"

namespace weir::cli {
namespace {

// What is read at once, and so the longest line.
constexpr std::size_t kMostRead = 64 << 10;

struct Counts {
  std::uint64_t added = 0;
  std::uint64_t removed = 0;
  std::uint64_t unchanged = 0;
};

std::string counts_text(const Counts& counts) {
  return fmt::format("{} in, {} out, {} unchanged", count_text(counts.added, "entry", "entries"), counts.removed,
                     counts.unchanged);
}

// Which maps they are: open ones outlive a detach, and would be changed for nobody.
ino_t maps_pin(const control::Instance& instance) {
  struct stat facts {};
  return stat((instance.directory() + "/config").c_str(), &facts) == 0 ? facts.st_ino : 0;
}

class SetStream {
 public:
  SetStream(control::Instance instance, std::string set, control::SetVerb verb, std::uint32_t ttl)
      : instance_(std::move(instance)), pin_(maps_pin(instance_)), set_(std::move(set)), verb_(verb), ttl_(ttl) {}

  Outcome<Counts> run() {
    for (bool more = true; more;) {
      const auto got = read_more();
      if (!got) return Err(got.error());
      more = *got;
      // Whole lines; at the end, what there is.
      const std::size_t line = text_.rfind('\n');
      const std::size_t whole = more ? (line == std::string::npos ? 0 : line + 1) : text_.size();
      if (more && whole == 0 && text_.size() >= kMostRead)
        return so_far(
            xdp::fail(fmt::format("stdin:{}: a line of more than {} octets", line_, kMostRead), EINVAL).error);
      if (whole == 0) continue;
      if (auto r = apply(std::string_view(text_).substr(0, whole)); !r) return so_far(r.error());
      line_ +=
          static_cast<std::size_t>(std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(whole), '\n'));
      text_.erase(0, whole);
    }
    return counts_;
  }
  const std::string& interface() const { return instance_.interface(); }

 private:
  // False: there is no more.
  Outcome<bool> read_more() {
    const std::size_t before = text_.size();
    text_.resize(kMostRead);
    ssize_t n = 0;
    do n = read(STDIN_FILENO, text_.data() + before, kMostRead - before);
    while (n < 0 && errno == EINTR);
    const int error = errno;
    text_.resize(before + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    if (n < 0) return so_far(xdp::system_error(error, "reading stdin"));
    return n > 0;
  }

  Outcome<void> apply(std::string_view lines) {
    std::vector<control::SetChanges> changes;
    const auto parsed = control::parse_set_changes(lines, {"stdin", line_, 1}, verb_, ttl_, changes);
    const auto lock = control::Lock::acquire();
    if (!lock) return Err(lock.error());
    if (maps_pin(instance_) != pin_)
      return fail(fmt::format("{} was detached, or attached anew: begin again", interface()), ENOENT);
    // Opened once for all of them: that costs more than what a line says, and the lock is held.
    const Instant now = control::monotonic_now();
    auto writer = control::SetWriter::open(instance_.maps(), set_, now);
    if (!writer) return Err(writer.error());
    for (const control::SetChanges& change : changes) {
      const auto done = change.verb == control::SetVerb::add
                            ? writer->add(change.items, now)
                            : Outcome<control::SetChange>(writer->remove(change.items, now));
      if (!done) return Err(done.error());
      (change.verb == control::SetVerb::add ? counts_.added : counts_.removed) += done->changed;
      counts_.unchanged += done->unchanged;
    }
    return parsed;
  }
  Err<Error> so_far(Error error) const {
    error.message += fmt::format("; until then {}", counts_text(counts_));
    return Err(std::move(error));
  }

  control::Instance instance_;
  ino_t pin_;
  std::string set_;
  control::SetVerb verb_;
  std::uint32_t ttl_;
  std::string text_;  // read, and not in force
  std::size_t line_ = 1;
  Counts counts_;
};

// The set is there before anything is read; the lock is let go.
Outcome<control::Instance> open_for(const Context& context, const std::string& set) {
  auto begun = begin_filter_change(context);
  if (!begun) return Err(begun.error());
  if (const auto there = control::test_set(begun->instance.maps(), set, {}, control::monotonic_now()); !there)
    return Err(there.error());
  return std::move(begun->instance);
}

}  // namespace

Outcome<int> stream_set_changes(const Context& context, control::SetVerb verb, std::uint32_t ttl) {
  const std::string set = context.args.get_or("SET", "");
  auto instance = open_for(context, set);
  if (!instance) return Err(instance.error());
  SetStream stream(std::move(*instance), set, verb, ttl);
  const auto counts = stream.run();
  if (!counts) return Err(counts.error());
  if (context.json)
    print_line({{"interface", stream.interface()},
                {"name", set},
                {"added", counts->added},
                {"removed", counts->removed},
                {"unchanged", counts->unchanged}});
  else
    print(fmt::format("{}: set {}: {}\n", stream.interface(), set, counts_text(*counts)));
  return kOk;
}

}  // namespace weir::cli
