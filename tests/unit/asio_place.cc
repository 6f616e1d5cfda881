// SPDX-License-Identifier: MIT
#include "asio_place.h"

namespace weir::asio::testing {

net::awaitable<AsioTest::Ends> AsioTest::accept_one(KernelTcp protocol) {
  auto acceptor = open_acceptor(protocol);
  auto theirs = place().peer_socket(context_, protocol);
  co_await theirs.async_connect(acceptor.local_endpoint(), kAwait);
  auto ours = co_await acceptor.async_accept(kAwait);
  EXPECT_EQ(ours.by_engine(), place().by_engine());
  co_return Ends{std::move(ours), std::move(theirs)};
}

std::string pattern(std::size_t size, unsigned seed) {
  std::string text(size, '\0');
  std::uint32_t state = seed * 2654435761u + 1;
  for (auto& c : text) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    c = static_cast<char>(state);
  }
  return text;
}

}  // namespace weir::asio::testing
