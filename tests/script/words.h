// SPDX-License-Identifier: MIT
// Text to words and numbers.
#pragma once

#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace weir::script {

inline std::uint32_t to_number(std::string_view text) {
  std::uint64_t v = 0;
  if (text.empty()) throw std::invalid_argument("a number is missing");
  for (char c : text) {
    if (c < '0' || c > '9') throw std::invalid_argument("not a number: " + std::string(text));
    v = v * 10 + static_cast<unsigned>(c - '0');
    if (v > 0xffffffff) throw std::invalid_argument("too large: " + std::string(text));
  }
  return static_cast<std::uint32_t>(v);
}

inline std::vector<std::byte> from_hex(std::string_view text) {
  auto digit = [](char c) {
    if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
    if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
    throw std::invalid_argument("not a hexadecimal digit");
  };
  if (text.size() % 2 != 0) throw std::invalid_argument("half a byte");
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(digit(text[i]) * 16 + digit(text[i + 1])));
  }
  return bytes;
}

inline std::string to_hex(const std::vector<std::byte>& bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string s;
  for (std::byte b : bytes) {
    s += kDigits[std::to_integer<unsigned>(b) >> 4];
    s += kDigits[std::to_integer<unsigned>(b) & 15];
  }
  return s;
}

// Words between blanks, one after the other.
class Words {
 public:
  explicit Words(std::string_view text) {
    std::istringstream in{std::string(text)};
    for (std::string word; in >> word;) words_.push_back(word);
  }
  bool done() const { return at_ == words_.size(); }
  const std::string& peek() const {
    if (done()) throw std::invalid_argument("the line ends too early");
    return words_[at_];
  }
  std::string next() {
    std::string word = peek();
    ++at_;
    return word;
  }
  void expect(std::string_view word) {
    if (next() != word) throw std::invalid_argument("\"" + std::string(word) + "\" is missing");
  }
  void finish() const {
    if (!done()) throw std::invalid_argument("what is \"" + words_[at_] + "\"?");
  }

 private:
  std::vector<std::string> words_;
  std::size_t at_ = 0;
};

}  // namespace weir::script
