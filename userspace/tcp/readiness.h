// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace weir::tcp {

// Bits of Connection::readiness(). Each holds until the user's next call consumes it.
enum Readiness : std::uint8_t {
  kConnected = 1 << 0,  // the handshake is complete
  kReadable = 1 << 1,   // read() returns text, the end of the stream, or an error
  kWritable = 1 << 2,   // write() takes at least one byte, or returns an error
  kFailed = 1 << 3,     // error() says why; nothing more will come
};

}  // namespace weir::tcp
