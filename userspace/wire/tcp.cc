// SPDX-License-Identifier: MIT
#include "weir/wire/tcp.h"
