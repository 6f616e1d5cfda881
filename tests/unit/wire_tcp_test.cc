// SPDX-License-Identifier: MIT
#include "weir/wire/tcp.h"

#include <gtest/gtest.h>

#include <random>

#include "bytes_util.h"

namespace weir::wire {
namespace {

using test::Buffer;
using test::hex;
using test::ip;

const IpAddress kSrc = ip("192.0.2.1");
const IpAddress kDst = ip("198.51.100.7");

// What the options say, in the words of tcpdump.
std::string describe(const TcpOptions& o) {
  std::string s;
  if (o.mss) s += "mss " + std::to_string(*o.mss) + ",";
  if (o.sack_permitted) s += "sackOK,";
  if (o.timestamps) {
    s += "TS val " + std::to_string(o.timestamps->tsval) + " ecr " + std::to_string(o.timestamps->tsecr) + ",";
  }
  if (o.window_scale) s += "wscale " + std::to_string(*o.window_scale) + ",";
  for (SackBlock b : o.sack_blocks()) s += "sack " + std::to_string(b.left) + ":" + std::to_string(b.right) + ",";
  if (o.fast_open) s += "TFO " + test::to_hex(*o.fast_open) + ",";
  if (o.user_timeout) s += "UTO " + std::to_string(*o.user_timeout) + ",";
  return s;
}

TEST(TcpOptions, ParseTable) {
  struct {
    const char* what;
    const char* bytes;
    const char* expected;
  } const table[] = {
      {"none", "", ""},
      {"Linux's SYN", "02 04 05 b4  04 02 08 0a 00 00 00 01 00 00 00 02  01 03 03 07",
       "mss 1460,sackOK,TS val 1 ecr 2,wscale 7,"},
      {"Linux's SYN without timestamps", "02 04 05 b4  01 01 04 02  01 03 03 07", "mss 1460,sackOK,wscale 7,"},
      {"text with timestamps", "01 01 08 0a ff ff ff ff 00 00 00 00", "TS val 4294967295 ecr 0,"},
      {"one SACK block", "01 01 05 0a 00 00 00 01 00 00 00 05", "sack 1:5,"},
      {"three SACK blocks with timestamps",
       "01 01 08 0a 00 00 00 01 00 00 00 02 01 01 05 1a 00000001 00000002 00000003 00000004 00000005 00000006",
       "TS val 1 ecr 2,sack 1:2,sack 3:4,sack 5:6,"},
      {"four SACK blocks", "05 22 00000001 00000002 00000003 00000004 00000005 00000006 00000007 00000008",
       "sack 1:2,sack 3:4,sack 5:6,sack 7:8,"},
      {"Fast Open request", "22 02 01 01", "TFO ,"},
      {"Fast Open cookie", "22 0a 01 02 03 04 05 06 07 08", "TFO 01 02 03 04 05 06 07 08,"},
      {"Fast Open cookie of 16", "22 12 000102030405060708090a0b0c0d0e0f",
       "TFO 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f,"},
      {"user timeout", "1c 04 80 05", "UTO 32773,"},
      {"scale over 14 is 14", "03 03 0f", "wscale 14,"},
      {"scale 255 is 14", "03 03 ff", "wscale 14,"},
      {"scale 14", "03 03 0e", "wscale 14,"},
      // Ends and gaps
      {"after END nothing counts", "02 04 05 b4 00 02 03 03 07", "mss 1460,"},
      {"NOPs", "01 01 01 01 02 04 05 b4", "mss 1460,"},
      {"unknown kinds are skipped", "fd 04 12 34 02 04 05 b4 13 02", "mss 1460,"},
      {"no alignment is asked for", "03 03 01 02 04 02 18 04 02", "mss 536,sackOK,wscale 1,"},
      // Lengths that end the walk
      {"length 0", "02 04 05 b4 03 00 07", "mss 1460,"},
      {"length 1", "02 04 05 b4 03 01 07", "mss 1460,"},
      {"unknown kind, length 0", "fd 00 02 04 05 b4", ""},
      {"past the end", "02 04 05 b4 03 04 07", "mss 1460,"},
      {"a kind alone at the end", "02 04 05 b4 03", "mss 1460,"},
      {"MSS cut short", "02 04 05", ""},
      {"timestamps one byte short", "08 0a 00 00 00 01 00 00 00", ""},
      // Lengths that the kind does not have
      {"MSS of length 3, then a good scale", "02 03 05 03 03 07", "wscale 7,"},
      {"MSS of length 2", "02 02 03 03 07", "wscale 7,"},
      {"scale of length 2", "03 02 04 02", "sackOK,"},
      {"scale of length 4", "03 04 07 07 04 02", "sackOK,"},
      {"sackOK of length 3", "04 03 00 03 03 07", "wscale 7,"},
      {"timestamps of length 6", "08 06 00 00 00 01 04 02", "sackOK,"},
      {"SACK of length 2", "05 02 04 02", "sackOK,"},
      {"SACK of length 11", "05 0b 00 00 00 01 00 00 00 05 00 04 02", "sackOK,"},
      {"Fast Open cookie of 2", "22 04 01 02 04 02", "sackOK,"},
      {"Fast Open cookie of 5", "22 07 01 02 03 04 05 04 02", "sackOK,"},
      {"Fast Open cookie of 18", "22 14 000102030405060708090a0b0c0d0e0f1011 04 02", "sackOK,"},
      {"user timeout of length 3", "1c 03 80 04 02", "sackOK,"},
      // Repetitions: the first counts
      {"MSS twice", "02 04 05 b4 02 04 02 18", "mss 1460,"},
      {"ill-sized first, good second", "02 03 05 02 04 02 18", "mss 536,"},
      {"scale twice", "03 03 01 03 03 02", "wscale 1,"},
      {"timestamps twice", "08 0a 00000001 00000002 08 0a 00000003 00000004", "TS val 1 ecr 2,"},
      {"SACK twice", "05 0a 00000001 00000002 05 0a 00000003 00000004", "sack 1:2,"},
      {"Fast Open twice", "22 02 22 06 01 02 03 04", "TFO ,"},
      {"user timeout twice", "1c 04 00 05 1c 04 00 06", "UTO 5,"},
      {"an empty MSS is still one", "02 04 00 00", "mss 0,"},
  };
  for (const auto& row : table) {
    Buffer bytes = hex(row.bytes);
    EXPECT_EQ(describe(parse_tcp_options(bytes)), row.expected) << row.what;
  }
}

// Whatever the bytes, in memory that ends where they do: AddressSanitizer watches.
TEST(TcpOptions, RandomBytesAreReadWithinBounds) {
  std::mt19937 rng(8);
  constexpr std::uint8_t kKinds[] = {0, 1, 2, 3, 4, 5, 8, 28, 34, 253};
  for (int round = 0; round < 50'000; ++round) {
    Buffer bytes = test::random_bytes(rng, rng() % 41);
    for (std::size_t i = 0; i + 1 < bytes.size(); i += 1 + rng() % 10) {
      bytes[i] = static_cast<std::byte>(kKinds[rng() % std::size(kKinds)]);
      if (rng() % 2 == 0) bytes[i + 1] = static_cast<std::byte>(rng() % 20);
    }
    TcpOptions o = parse_tcp_options(bytes);
    ASSERT_LE(o.sack_count, kTcpMaxSackBlocks);
    ASSERT_LE(o.window_scale.value_or(0), kTcpMaxWindowScale);
    ASSERT_LE(o.fast_open.value_or(ConstBytes{}).size(), kTcpMaxFastOpenCookie);
  }
}

TEST(TcpHeader, OptionsStandInTheKernelsOrder) {
  TcpOptions syn;
  syn.mss = 1460;
  syn.window_scale = 7;
  syn.sack_permitted = true;
  TcpOptions syn_ts = syn;
  syn_ts.timestamps = TcpTimestamps{1, 2};
  TcpOptions only_ts;
  only_ts.timestamps = TcpTimestamps{1, 2};
  TcpOptions ts_sack = only_ts;
  for (std::uint32_t i = 0; i < 4; ++i) ts_sack.add_sack({i, i + 1});
  TcpOptions sack;
  for (std::uint32_t i = 0; i < 4; ++i) sack.add_sack({i, i + 1});
  TcpOptions mss_ts;
  mss_ts.mss = 536;
  mss_ts.timestamps = TcpTimestamps{1, 2};
  Buffer cookie = hex("01 02 03 04 05 06 07 08");
  TcpOptions tfo = syn_ts;
  tfo.fast_open = cookie;
  TcpOptions uto = only_ts;
  uto.user_timeout = 30;
  Buffer long_cookie(16, std::byte{7});
  TcpOptions too_much = syn_ts;
  too_much.sack = {SackBlock{1, 2}};
  too_much.sack_count = 1;
  too_much.fast_open = long_cookie;
  too_much.user_timeout = 30;

  struct {
    const char* what;
    const TcpOptions& options;
    const char* bytes;
  } const table[] = {
      {"none", TcpOptions{}, ""},
      {"SYN", syn, "02 04 05 b4 01 01 04 02 01 03 03 07"},
      {"SYN with timestamps", syn_ts, "02 04 05 b4 04 02 08 0a 00 00 00 01 00 00 00 02 01 03 03 07"},
      {"SYN without SACK", mss_ts, "02 04 02 18 01 01 08 0a 00 00 00 01 00 00 00 02"},
      {"text", only_ts, "01 01 08 0a 00 00 00 01 00 00 00 02"},
      {"SACK: four blocks", sack,
       "01 01 05 22 00 00 00 00 00 00 00 01 00 00 00 01 00 00 00 02 00 00 00 02 00 00 00 03 00 00 00 03 00 00 00 04"},
      {"SACK with timestamps: three have room", ts_sack,
       "01 01 08 0a 00 00 00 01 00 00 00 02 01 01 05 1a 00 00 00 00 00 00 00 01 00 00 00 01 00 00 00 02 "
       "00 00 00 02 00 00 00 03"},
      {"Fast Open", tfo,
       "02 04 05 b4 04 02 08 0a 00 00 00 01 00 00 00 02 01 03 03 07 01 01 22 0a 01 02 03 04 05 06 07 08"},
      {"user timeout", uto, "01 01 08 0a 00 00 00 01 00 00 00 02 1c 04 00 1e"},
      {"the cookie does not fit, the timeout does", too_much,
       "02 04 05 b4 04 02 08 0a 00 00 00 01 00 00 00 02 01 03 03 07 01 01 05 0a 00 00 00 01 00 00 00 02 1c 04 00 1e"},
  };
  for (const auto& row : table) {
    TcpHeader h{.options = row.options};
    EXPECT_EQ(h.size(), kTcpHeaderSize + hex(row.bytes).size()) << row.what;
    Buffer bytes(h.size());
    ASSERT_EQ(h.write(bytes, kSrc, kDst), bytes.size()) << row.what;
    EXPECT_EQ(test::to_hex(TcpView::parse(bytes).value().option_bytes()), row.bytes) << row.what;
  }
}

TEST(TcpHeader, WritesWhatItSays) {
  TcpHeader h{.src_port = 40000,
              .dst_port = 8080,
              .seq = 0x01020304,
              .ack = 0xa0b0c0d0,
              .flags = kAck | kPsh,
              .window = WireWindow(0x1234),
              .urgent = 0};
  Buffer bytes(20 + 5);
  Buffer text = test::text("hello");
  ASSERT_EQ(h.write(bytes, kSrc, kDst, text), 25u);
  // The checksum apart, which is asked for below.
  Buffer shown = bytes;
  store_be(&shown[16], std::uint16_t{0});
  EXPECT_EQ(test::to_hex(shown), "9c 40 1f 90 01 02 03 04 a0 b0 c0 d0 50 18 12 34 00 00 00 00 68 65 6c 6c 6f");
  EXPECT_TRUE(TcpView::parse(bytes)->checksum_ok(kSrc, kDst, ChecksumPolicy::verify));
}

TcpHeader random_header(std::mt19937& rng, ConstBytes cookie) {
  TcpHeader h{.src_port = static_cast<std::uint16_t>(rng()),
              .dst_port = static_cast<std::uint16_t>(rng()),
              .seq = static_cast<std::uint32_t>(rng()),
              .ack = static_cast<std::uint32_t>(rng()),
              .flags = TcpFlags(static_cast<std::uint8_t>(rng())),
              .window = WireWindow(static_cast<std::uint16_t>(rng())),
              .urgent = static_cast<std::uint16_t>(rng())};
  auto coin = [&rng] { return rng() % 2 == 0; };
  TcpOptions& o = h.options;
  if (coin()) o.mss = static_cast<std::uint16_t>(rng());
  if (coin()) o.window_scale = static_cast<std::uint8_t>(rng() % 15);
  o.sack_permitted = coin();
  if (coin()) o.timestamps = TcpTimestamps{static_cast<std::uint32_t>(rng()), static_cast<std::uint32_t>(rng())};
  for (std::size_t i = rng() % 5; i > 0; --i) {
    o.add_sack({static_cast<std::uint32_t>(rng()), static_cast<std::uint32_t>(rng())});
  }
  std::size_t cookie_size = 2 * (rng() % 8);
  if (coin() && cookie_size != 2) o.fast_open = cookie.first(cookie_size);
  if (coin()) o.user_timeout = static_cast<std::uint16_t>(rng());
  return h;
}

TEST(Tcp, RandomHeadersRoundTrip) {
  std::mt19937 rng(9);
  Buffer cookie = test::random_bytes(rng, 16);
  for (int round = 0; round < 20'000; ++round) {
    TcpHeader h = random_header(rng, cookie);
    Buffer text = test::random_bytes(rng, rng() % 50);
    std::size_t split = rng() % (text.size() + 1);
    Buffer bytes(h.size() + text.size());
    ASSERT_EQ(h.write(bytes, kSrc, kDst, ConstBytes(text).first(split), ConstBytes(text).subspan(split)), bytes.size());
    auto view = TcpView::parse(bytes);
    ASSERT_TRUE(view);
    ASSERT_TRUE(view->checksum_ok(kSrc, kDst, ChecksumPolicy::verify));
    EXPECT_EQ(view->src_port(), h.src_port);
    EXPECT_EQ(view->dst_port(), h.dst_port);
    EXPECT_EQ(view->seq(), h.seq);
    EXPECT_EQ(view->ack(), h.ack);
    EXPECT_EQ(view->flags(), h.flags);
    EXPECT_EQ(view->window(), h.window);
    EXPECT_EQ(view->urgent(), h.urgent);
    EXPECT_EQ(view->header_size(), h.size());
    EXPECT_LE(h.size(), kTcpMaxHeaderSize);
    EXPECT_EQ(Buffer(view->text().begin(), view->text().end()), text);

    TcpOptions got = view->options();
    EXPECT_EQ(got.mss, h.options.mss);
    EXPECT_EQ(got.window_scale, h.options.window_scale);
    EXPECT_EQ(got.sack_permitted, h.options.sack_permitted);
    EXPECT_EQ(got.timestamps, h.options.timestamps);
    // What is there is a beginning of what was asked for; written again it is the same.
    ASSERT_LE(got.sack_count, h.options.sack_count);
    for (std::size_t i = 0; i < got.sack_count; ++i) EXPECT_EQ(got.sack[i], h.options.sack[i]);
    if (got.sack_count < h.options.sack_count) {
      EXPECT_GT(h.size() + 8 + (got.sack_count == 0 ? 4 : 0), kTcpMaxHeaderSize);
    }
    TcpHeader again = h;
    again.options = got;
    Buffer bytes_again(again.size() + text.size());
    again.write(bytes_again, kSrc, kDst, text);
    ASSERT_EQ(test::to_hex(bytes_again), test::to_hex(bytes));
  }
}

TEST(Tcp, EveryTruncationIsRefusedOrShortensTheText) {
  TcpHeader h;
  h.options.mss = 1460;
  h.options.timestamps = TcpTimestamps{1, 2};
  Buffer text = test::text("text");
  Buffer bytes(h.size() + text.size());
  h.write(bytes, kSrc, kDst, text);
  for (std::size_t n = 0; n <= bytes.size(); ++n) {
    Buffer cut = test::cut(bytes, n);
    auto view = TcpView::parse(cut);
    ASSERT_EQ(view.has_value(), n >= h.size()) << n;
    if (!view) continue;
    EXPECT_EQ(view->text().size(), n - h.size());
    EXPECT_EQ(view->options().mss, 1460);
    EXPECT_EQ(view->checksum_ok(kSrc, kDst, ChecksumPolicy::verify), n == bytes.size());
  }
}

TEST(Tcp, DataOffset) {
  for (unsigned doff = 0; doff < 16; ++doff) {
    Buffer bytes(40);
    bytes[12] = static_cast<std::byte>(doff << 4 | 0x0f);  // the reserved bits mean nothing
    EXPECT_EQ(TcpView::parse(bytes).has_value(), doff >= 5 && doff <= 10) << doff;
  }
}

TEST(Tcp, EveryFlippedBitBreaksTheChecksum) {
  TcpHeader h{.src_port = 1, .dst_port = 2, .flags = kAck};
  Buffer text = test::text("odd");
  Buffer bytes(h.size() + text.size());
  h.write(bytes, ip("2001:db8::1"), ip("2001:db8::2"), text);
  ASSERT_TRUE(TcpView::parse(bytes)->checksum_ok(ip("2001:db8::1"), ip("2001:db8::2"), ChecksumPolicy::verify));
  EXPECT_FALSE(TcpView::parse(bytes)->checksum_ok(ip("2001:db8::1"), ip("2001:db8::3"), ChecksumPolicy::verify));
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    Buffer wrong = bytes;
    wrong[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    if (auto view = TcpView::parse(wrong)) {
      EXPECT_FALSE(view->checksum_ok(ip("2001:db8::1"), ip("2001:db8::2"), ChecksumPolicy::verify)) << bit;
    }
  }
}

TEST(Tcp, PartialChecksum) {
  Buffer text = test::text("abc");
  Buffer bytes(23);
  TcpHeader{}.write(bytes, kSrc, kDst, text);
  store_be(&bytes[16], pseudo_header(kSrc, kDst, IpProtocol::tcp, 23).sum());
  EXPECT_FALSE(TcpView::parse(bytes)->checksum_ok(kSrc, kDst, ChecksumPolicy::verify));
  EXPECT_TRUE(TcpView::parse(bytes)->checksum_ok(kSrc, kDst, ChecksumPolicy::verify_or_partial));
  // Zero is not partial.
  store_be(&bytes[16], std::uint16_t{0});
  EXPECT_FALSE(TcpView::parse(bytes)->checksum_ok(kSrc, kDst, ChecksumPolicy::verify_or_partial));
}

TEST(TcpFlags, Bits) {
  EXPECT_EQ((kFin | kSyn | kRst | kPsh | kAck | kUrg | kEce | kCwr).raw(), 0xff);
  struct {
    TcpFlags flag;
    bool (TcpFlags::*is)() const;
  } const table[] = {{kFin, &TcpFlags::fin}, {kSyn, &TcpFlags::syn}, {kRst, &TcpFlags::rst}, {kPsh, &TcpFlags::psh},
                     {kAck, &TcpFlags::ack}, {kUrg, &TcpFlags::urg}, {kEce, &TcpFlags::ece}, {kCwr, &TcpFlags::cwr}};
  for (const auto& a : table) {
    for (const auto& b : table) EXPECT_EQ((a.flag.*b.is)(), a.flag == b.flag);
    EXPECT_FALSE((TcpFlags(0xff).without(a.flag).*a.is)());
  }
  TcpFlags f = kSyn;
  f |= kAck;
  EXPECT_EQ(f, kAck | kSyn);
  EXPECT_EQ(f & kSyn, kSyn);
}

}  // namespace
}  // namespace weir::wire
