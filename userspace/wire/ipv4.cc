// SPDX-License-Identifier: MIT
#include "weir/wire/ipv4.h"
