// SPDX-License-Identifier: MIT
#include "weir/wire/ip_packet.h"
