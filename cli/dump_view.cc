// SPDX-License-Identifier: MIT
#include "dump_view.h"

#include <fmt/core.h>

#include <ctime>

#include "weir/control/test_packet.h"

namespace weir::cli {
namespace {

Paint colour(const DumpedFrame& frame) {
  const std::string_view verdict = frame.verdict;
  return verdict == "drop" ? Paint::bad : verdict == "steer" || verdict == "send" ? Paint::good : Paint::plain;
}

}  // namespace

std::string comment(const DumpedFrame& frame) {
  std::string out = fmt::format("verdict={} reason={}", frame.verdict, frame.reason);
  if (frame.rule) out += " rule=" + *frame.rule;
  if (frame.queue) out += fmt::format(" queue={}", *frame.queue);
  if (frame.sampled) out += " sampled";
  return out;
}

std::string line(const DumpedFrame& frame, std::uint64_t epoch_ns) {
  const auto seconds = static_cast<std::time_t>(epoch_ns / 1'000'000'000);
  std::tm local{};
  localtime_r(&seconds, &local);
  std::string out = fmt::format("{:02}:{:02}:{:02}.{:06} {} {} {}  {}", local.tm_hour, local.tm_min, local.tm_sec,
                                epoch_ns % 1'000'000'000 / 1000, frame.outbound ? "out" : "in ",
                                paint(colour(frame), fmt::format("{:<5}", frame.verdict)),
                                control::frame_text(frame.octets, frame.length), frame.reason);
  if (frame.rule) out += " rule " + *frame.rule;
  if (frame.sampled) out += " sampled";
  return out + "\n";
}

Json to_json(const DumpedFrame& frame, std::uint64_t epoch_ns) {
  Json out;
  out["time_ns"] = epoch_ns;
  out["direction"] = frame.outbound ? "out" : "in";
  out["verdict"] = frame.verdict;
  out["reason"] = frame.reason;
  out["rule"] = frame.rule ? Json(*frame.rule) : Json(nullptr);
  out["queue"] = frame.queue ? Json(*frame.queue) : Json(nullptr);
  out["sampled"] = frame.sampled;
  out["length"] = frame.length;
  out["packet"] = control::frame_text(frame.octets, frame.length);
  out["octets"] = hex(frame.octets.data(), frame.octets.size());
  return out;
}

std::string hex(const std::byte* octets, std::size_t count) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string out;
  out.reserve(2 * count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto v = std::to_integer<unsigned>(octets[i]);
    out += kDigits[v >> 4];
    out += kDigits[v & 15];
  }
  return out;
}

}  // namespace weir::cli
