// SPDX-License-Identifier: MIT
// All of weir::asio for TCP.
#pragma once

#include "weir/asio/acceptor.h"
#include "weir/asio/engine.h"
#include "weir/asio/socket.h"
