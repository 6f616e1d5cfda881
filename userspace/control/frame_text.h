// SPDX-License-Identifier: MIT
// A frame in a line: "10.0.0.2:40000 > 10.0.0.1:80 tcp S", "fd77::2 > fd77::1 icmpv6 type 128", "arp". What is cut
// short or makes no sense is named as far as it can be read. Any octets may come.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace weir::control {

std::string frame_text(std::span<const std::byte> octets);

}  // namespace weir::control
