// SPDX-License-Identifier: MIT
// Linked from the core's libraries, whole, and nothing else: if one of them needed libbpf, Boost.Asio or a runtime's
// function, this would not link.
int main() { return 0; }
