// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "weir/base/bytes.h"
#include "weir/base/ip_address.h"
#include "weir/common/flow_hash.h"
#include "weir/wire/ip_protocol.h"

namespace weir::stack {

// A TCP connection's name, from our side.
struct FlowKey {
  IpAddress local;
  IpAddress remote;
  std::uint16_t local_port = 0;
  std::uint16_t remote_port = 0;

  Endpoint local_endpoint() const { return {local, local_port}; }
  Endpoint remote_endpoint() const { return {remote, remote_port}; }
  // By words: the compiler's own comparison calls memcmp, and this runs once a frame.
  friend bool operator==(const FlowKey& a, const FlowKey& b) {
    std::array<std::uint64_t, 4> x;
    std::array<std::uint64_t, 4> y;
    std::memcpy(x.data(), &a, sizeof x);
    std::memcpy(y.data(), &b, sizeof y);
    std::uint64_t differ = (x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]);
    return differ == 0 && a.local_port == b.local_port && a.remote_port == b.remote_port;
  }
};
static_assert(sizeof(FlowKey) == 36 && std::is_trivially_copyable_v<FlowKey>);

// weir_flow_hash of a TCP flow, as the XDP program computes it: addresses and ports as memory holds them.
inline std::uint32_t flow_hash(const FlowKey& key, const std::array<std::uint64_t, 2>& hash_key) {
  std::array<std::uint64_t, 2> local{};
  std::array<std::uint64_t, 2> remote{};
  std::memcpy(local.data(), key.local.data(), sizeof local);
  std::memcpy(remote.data(), key.remote.data(), sizeof remote);
  return weir_flow_hash(remote[0], remote[1], to_be16(key.remote_port), local[0], local[1], to_be16(key.local_port),
                        static_cast<std::uint8_t>(wire::IpProtocol::tcp), hash_key.data());
}

// The same mixing for one address: what the tables by address hash with.
inline std::uint32_t address_hash(const IpAddress& address, const std::array<std::uint64_t, 2>& hash_key,
                                  std::uint64_t more = 0) {
  std::array<std::uint64_t, 2> words{};
  std::memcpy(words.data(), address.data(), sizeof words);
  return static_cast<std::uint32_t>(
      weir_mix64(weir_hash_endpoint(words[0], words[1], 0, hash_key.data()) + weir_mix64(more ^ hash_key[1])) >> 16);
}

}  // namespace weir::stack
