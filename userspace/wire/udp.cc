// SPDX-License-Identifier: MIT
#include "weir/wire/udp.h"
