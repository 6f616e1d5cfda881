// SPDX-License-Identifier: MIT
#include "weir/wire/checksum.h"
