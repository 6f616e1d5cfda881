// SPDX-License-Identifier: MIT
#include "files.h"

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>

#include "output.h"

namespace weir::cli {
namespace {

constexpr std::size_t kMaxFile = 256 << 20;

struct Close {
  void operator()(std::FILE* file) const {
    if (file != stdin) std::fclose(file);
  }
};

volatile std::sig_atomic_t interrupted = 0;

// While it lives, an interrupt is noted and nothing else, so that the terminal's line can be cleaned.
class Interrupts {
 public:
  Interrupts() {
    interrupted = 0;
    struct sigaction note {};
    note.sa_handler = [](int) { interrupted = 1; };
    sigaction(SIGINT, &note, &before_);
  }
  ~Interrupts() { sigaction(SIGINT, &before_, nullptr); }
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

 private:
  struct sigaction before_ {};
};

// "[#####     ]  50 %  LABEL", drawn anew ten times a second at the most.
class Bar {
 public:
  Bar(std::string label, std::size_t whole) : label_(std::move(label)), whole_(whole) {
    shown_ = takes_escapes(STDERR_FILENO);
  }
  ~Bar() {
    if (drawn_) fmt::print(stderr, "\r\033[K");
  }
  Bar(const Bar&) = delete;
  Bar& operator=(const Bar&) = delete;

  void at(std::size_t done) {
    const auto now = std::chrono::steady_clock::now();
    if (!shown_ || whole_ == 0 || (drawn_ && now - last_ < std::chrono::milliseconds(100))) return;
    constexpr std::size_t kWidth = 30;
    const std::size_t part = done * kWidth / whole_;
    fmt::print(stderr, "\r[{:#<{}}{: <{}}] {:3} %  {}", "", part, "", kWidth - part, done * 100 / whole_, label_);
    std::fflush(stderr);
    last_ = now;
    drawn_ = true;
  }

 private:
  std::string label_;
  std::size_t whole_;
  bool shown_ = false;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point last_;
};

// What is no text, and how it becomes that; as it is published, a list often is.
struct Packing {
  std::string_view begins;
  const char* name;
  const char* unpack;
};
constexpr Packing kPackings[] = {{"\x1f\x8b", "compressed by gzip", "zcat"},
                                 {"PK\x03\x04", "a zip archive", "unzip -p"},
                                 {"\xfd"
                                  "7zXZ",
                                  "compressed by xz", "xzcat"},
                                 {"BZh", "compressed by bzip2", "bzcat"},
                                 {"\x28\xb5\x2f\xfd", "compressed by zstd", "zstdcat"},
                                 {"\xff\xfe", "UTF-16", "iconv -f UTF-16 -t UTF-8"},
                                 {"\xfe\xff", "UTF-16", "iconv -f UTF-16 -t UTF-8"}};

}  // namespace

Outcome<std::string> read_file(const std::string& path, std::string_view kind) {
  const std::unique_ptr<std::FILE, Close> file(path == "-" ? stdin : std::fopen(path.c_str(), "re"));
  if (!file) return fail(fmt::format("opening {}: {}", path, std::strerror(errno)), errno);
  struct stat facts {};
  if (fstat(fileno(file.get()), &facts) == 0 && S_ISDIR(facts.st_mode))
    return fail(fmt::format("{} is a directory: give a file of {}, or - for standard input", path, kind), EISDIR);
  std::string text;
  char part[65536];
  while (const std::size_t n = std::fread(part, 1, sizeof part, file.get())) {
    text.append(part, n);
    if (text.size() > kMaxFile)
      return fail(fmt::format("{} is larger than 256 MiB: is it a file of {}?", path, kind), EFBIG);
  }
  if (std::ferror(file.get()) != 0) return fail(fmt::format("reading {}: {}", path, std::strerror(errno)), errno);
  for (const Packing& p : kPackings)
    if (std::string_view(text).substr(0, p.begins.size()) == p.begins)
      return fail(
          fmt::format("{} is {}: unpack it (`{} FILE |`), and give - for standard input", path, p.name, p.unpack),
          EINVAL);
  return text;
}

Outcome<std::vector<control::SetItem>> read_set_list(const std::string& path) {
  const auto text = read_file(path, "prefixes");
  if (!text) return Err(text.error());
  const Interrupts noted;
  const std::string name = name_of_file(path);
  Bar bar(name, text->size());
  return control::parse_set_list(*text, {name, 1, 1}, [&](std::size_t done) {
    bar.at(done);
    return interrupted == 0;
  });
}

}  // namespace weir::cli
