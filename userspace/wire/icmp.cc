// SPDX-License-Identifier: MIT
#include "weir/wire/icmp.h"
