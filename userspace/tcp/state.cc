// SPDX-License-Identifier: MIT
#include "weir/tcp/state.h"

namespace weir::tcp {

const char* name(State state) {
  switch (state) {
    case State::closed:
      return "CLOSED";
    case State::listen:
      return "LISTEN";
    case State::syn_sent:
      return "SYN-SENT";
    case State::syn_received:
      return "SYN-RECV";
    case State::established:
      return "ESTAB";
    case State::fin_wait_1:
      return "FIN-WAIT-1";
    case State::fin_wait_2:
      return "FIN-WAIT-2";
    case State::close_wait:
      return "CLOSE-WAIT";
    case State::closing:
      return "CLOSING";
    case State::last_ack:
      return "LAST-ACK";
    case State::time_wait:
      return "TIME-WAIT";
  }
  return "?";
}

bool is_edge(State from, State to) {
  using enum State;
  if (to == closed) return from != closed;
  switch (from) {
    case closed:
      return to == syn_sent || to == syn_received;
    case syn_sent:
      return to == established || to == syn_received;
    case syn_received:
      return to == established;
    case established:
      return to == fin_wait_1 || to == close_wait;
    case fin_wait_1:
      return to == fin_wait_2 || to == closing;
    case fin_wait_2:
    case closing:
      return to == time_wait;
    case close_wait:
      return to == last_ack;
    case listen:
    case last_ack:
    case time_wait:
      return false;
  }
  return false;
}

}  // namespace weir::tcp
