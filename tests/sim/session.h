// SPDX-License-Identifier: MIT
// One end of a conversation: writes so many bytes and reads so many, driven by nothing but the stack's events and its
// own alarms, and notes whatever is not as it should be.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "weir/stack/stack.h"

namespace weir::sim {

struct SessionPlan {
  std::uint64_t stream_out = 0;  // names the text: byte i of stream s is text_byte(s, i)
  std::uint64_t stream_in = 0;
  std::uint64_t to_write = 0;
  std::uint64_t to_read = 0;
  std::size_t write_chunk = 16'384;
  std::size_t read_chunk = 16'384;
  Duration read_pause;           // between reads: a slow reader
  Duration first_read_after;     // from the first text on: the window closes
  bool write_after_end = false;  // answers only when the peer has said all
  bool close_early = false;      // close() rather than shutdown_write() where nothing is left to read
  bool no_delay = false;
  std::uint64_t abort_after = UINT64_MAX;  // bytes read
};

inline std::byte text_byte(std::uint64_t stream, std::uint64_t i) {
  std::uint64_t h = (stream * 0x9e3779b97f4a7c15 + i) * 0xff51afd7ed558ccd;
  return static_cast<std::byte>(h >> 56);
}

class Session {
 public:
  Session(stack::Stack& stack, stack::ConnectionId id, const SessionPlan& plan)
      : stack_(stack), id_(id), plan_(plan), buffer_(std::max(plan.write_chunk, plan.read_chunk)) {
    stack_.set_no_delay(id, plan.no_delay);
  }

  // Some readiness was reported, or the alarm has come.
  void serve(std::uint8_t events, Instant now) {
    if (done_) return;
    if (now >= alarm_) {
      alarm_ = Instant::never();
      may_read_ = true;
    }
    if ((events & tcp::kFailed) != 0) {
      error_ = stack_.error(id_);
      if (error_ == tcp::Errc::none) complain("failed without a reason");
      finish(now);
      return;
    }
    if ((events & tcp::kReadable) != 0) {
      may_read_ = true;
      if (!heard_ && plan_.first_read_after.count_ns() != 0) alarm_ = now + plan_.first_read_after;
      heard_ = true;
    }
    if ((events & tcp::kWritable) != 0) may_write_ = true;
    if (alarm_ != Instant::never()) may_read_ = false;
    read(now);
    if (done_) return;
    write(now);
    if (at_end_ && finished_writing()) finish(now);
  }
  // The peer has gone without a word that arrived.
  void give_up(Instant now) {
    if (done_) return;
    stack_.abort(id_, now);
    done_ = true;
  }

  bool done() const { return done_; }
  bool aborted() const { return aborted_; }
  tcp::Errc error() const { return error_; }
  bool complete() const { return at_end_ && read_ == plan_.to_read && written_ == plan_.to_write; }
  Instant alarm() const { return done_ ? Instant::never() : alarm_; }
  const std::string& complaint() const { return complaint_; }
  stack::ConnectionId id() const { return id_; }
  std::string describe() const {
    return "read " + std::to_string(read_) + "/" + std::to_string(plan_.to_read) + " written " +
           std::to_string(written_) + "/" + std::to_string(plan_.to_write) + (at_end_ ? " at end" : "") +
           (shut_ ? " shut" : "") + " error " + std::to_string(static_cast<int>(error_));
  }

 private:
  void complain(std::string what) {
    if (complaint_.empty()) complaint_ = std::move(what);
  }
  bool finished_writing() const { return written_ == plan_.to_write && shut_; }

  void read(Instant now) {
    while (may_read_ && !at_end_) {
      std::size_t n = stack_.read(id_, Bytes(buffer_).first(plan_.read_chunk), now);
      if (n == 0) {
        may_read_ = false;
        at_end_ = stack_.at_end(id_);
        if (at_end_ && read_ != plan_.to_read && stack_.error(id_) == tcp::Errc::none) complain("end too early");
        return;
      }
      for (std::size_t i = 0; i < n; ++i) {
        if (buffer_[i] != text_byte(plan_.stream_in, read_ + i)) {
          complain("wrong byte at " + std::to_string(read_ + i));
          break;
        }
      }
      read_ += n;
      if (read_ > plan_.to_read) complain("more than was written");
      if (read_ >= plan_.abort_after) {
        stack_.abort(id_, now);
        aborted_ = done_ = true;
        return;
      }
      if (plan_.read_pause.count_ns() > 0) {
        may_read_ = false;
        alarm_ = now + plan_.read_pause;
      }
    }
  }

  void write(Instant now) {
    if (!may_write_ || (plan_.write_after_end && !at_end_)) return;
    while (written_ < plan_.to_write) {
      std::size_t n = std::min<std::uint64_t>(plan_.write_chunk, plan_.to_write - written_);
      for (std::size_t i = 0; i < n; ++i) buffer_[i] = text_byte(plan_.stream_out, written_ + i);
      std::size_t taken = stack_.write(id_, ConstBytes(buffer_).first(n), now);
      written_ += taken;
      if (taken < n) {
        may_write_ = false;  // the buffer is full, and kWritable will say when it is not
        return;
      }
    }
    if (shut_) return;
    shut_ = true;
    if (plan_.close_early && at_end_) {
      finish(now);
    } else {
      stack_.shutdown_write(id_, now);
    }
  }

  void finish(Instant now) {
    if (done_) return;
    stack_.close(id_, now);
    done_ = true;
  }

  stack::Stack& stack_;
  stack::ConnectionId id_;
  SessionPlan plan_;
  std::vector<std::byte> buffer_;
  std::uint64_t read_ = 0;
  std::uint64_t written_ = 0;
  Instant alarm_ = Instant::never();
  tcp::Errc error_ = tcp::Errc::none;
  std::string complaint_;
  bool heard_ = false;
  bool may_read_ = false;
  bool may_write_ = false;
  bool at_end_ = false;
  bool shut_ = false;
  bool aborted_ = false;
  bool done_ = false;
};

}  // namespace weir::sim
