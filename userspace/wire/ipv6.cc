// SPDX-License-Identifier: MIT
#include "weir/wire/ipv6.h"
