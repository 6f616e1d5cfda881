// SPDX-License-Identifier: MIT
// What a dump reads from an engine, and what it writes to a file.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "weir/control/engine_tap.h"
#include "weir/control/pcapng.h"

namespace weir::control {
namespace {

using testing::HasSubstr;

std::string record(TapRecord::Kind kind, std::string_view octets, std::uint32_t length, std::uint64_t lost) {
  TapRecord r;
  r.kind = kind;
  r.length = length;
  r.captured = static_cast<std::uint32_t>(octets.size());
  r.lost = lost;
  std::string out(reinterpret_cast<const char*>(&r), sizeof r);
  return out.append(octets);
}

std::span<const std::byte> octets_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

TEST(TapReader, PutsPiecesOfAnyLengthTogether) {
  const std::string stream = std::string(kTapGreeting) + record(TapRecord::frame, "abc", 1514, 0) +
                             record(TapRecord::frame, "", 60, 2) + record(TapRecord::frame, "defgh", 5, 2) +
                             record(TapRecord::end, "", 0, 3);
  for (std::size_t size = 1; size <= stream.size(); ++size) {
    TapReader reader;
    std::string got;
    for (std::size_t at = 0; at < stream.size(); at += size) {
      const auto fed =
          reader.feed(octets_of(std::string_view(stream).substr(at, size)), [&](const TapRecord& r, auto o) {
            got.append(reinterpret_cast<const char*>(o.data()), o.size()).append("/" + std::to_string(r.length) + " ");
          });
      ASSERT_TRUE(fed.ok()) << fed.error().message;
    }
    EXPECT_EQ(got, "abc/1514 /60 defgh/5 ");
    EXPECT_TRUE(reader.ended());
    EXPECT_EQ(reader.frames(), 3u);
    EXPECT_EQ(reader.lost(), 3u);
  }
}

TEST(TapReader, RefusesWhatMakesNoSense) {
  const auto none = [](const TapRecord&, auto) { FAIL() << "a frame"; };
  const std::string greeting(kTapGreeting);
  TapRecord longer_than_the_frame;
  longer_than_the_frame.length = 10;
  longer_than_the_frame.captured = 11;
  TapRecord too_long;
  too_long.length = too_long.captured = WEIR_CAPTURE_MOST + 1;
  TapRecord unknown;
  unknown.kind = 3;
  for (const TapRecord& r : {longer_than_the_frame, too_long, unknown}) {
    TapReader reader;
    const auto fed = reader.feed(octets_of(greeting + std::string(reinterpret_cast<const char*>(&r), sizeof r)), none);
    ASSERT_FALSE(fed.ok());
    EXPECT_EQ(fed.error().code, EPROTO);
  }
  TapReader reader;
  const auto fed = reader.feed(octets_of(R"({"ok":false,"error":"expected"})"), none);
  ASSERT_FALSE(fed.ok());
  EXPECT_THAT(fed.error().message, HasSubstr(R"("error":"expected")"));
}

// Walks the blocks as a reader does: by their lengths, which stand at both ends.
TEST(Pcapng, IsMadeOfWholeBlocks) {
  std::string file;
  write_pcapng_start(file, "weir 0", "veth0", 96, "tcp port 80");
  for (std::size_t length = 0; length < 9; ++length) {
    const std::string octets(length, 'x');
    write_pcapng_packet(file, {1'000'000'001, length % 2 == 1, 60, octets_of(octets), 1, 2, "verdict=pass"});
  }
  write_pcapng_packet(file, {1, false, 60, {}, {}, {}, std::string(100'000, 'c')});
  write_pcapng_statistics(file, {1, 2, 10, 1, 9});
  std::vector<std::uint32_t> kinds;
  for (std::size_t at = 0; at < file.size();) {
    std::uint32_t head[2];
    ASSERT_LE(at + sizeof head, file.size());
    std::memcpy(head, &file[at], sizeof head);
    ASSERT_EQ(head[1] % 4, 0u);
    ASSERT_LE(at + head[1], file.size());
    std::uint32_t again = 0;
    std::memcpy(&again, &file[at + head[1] - 4], sizeof again);
    ASSERT_EQ(again, head[1]);
    kinds.push_back(head[0]);
    at += head[1];
  }
  EXPECT_EQ(kinds.size(), 13u);
  EXPECT_EQ(kinds.front(), 0x0a0d0d0au);
  EXPECT_EQ(kinds[1], 1u);
  EXPECT_EQ(kinds.back(), 5u);
}

}  // namespace
}  // namespace weir::control
