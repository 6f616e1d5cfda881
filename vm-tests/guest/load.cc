// SPDX-License-Identifier: MIT
// weir_vm_load OBJECT: loads each program of a BPF object and prints a JSON object of what it took the verifier:
// {"weir_xdp": {"verified": N, "states": N, "jited": N}}. Where one is refused: the end of the verifier's log, exit 1.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr std::size_t kLogSize = 16 << 20;
constexpr std::size_t kExcerpt = 4000;

// "... total_states 12 ..." in the verifier's closing line; 0 where it has none.
unsigned long word_after(std::string_view log, std::string_view key) {
  const std::size_t at = log.rfind(key);
  return at == std::string_view::npos ? 0 : std::strtoul(log.data() + at + key.size(), nullptr, 10);
}

std::string_view excerpt(const std::vector<char>& log) {
  const std::string_view all(log.data());
  return all.size() > kExcerpt ? all.substr(all.size() - kExcerpt) : all;
}

int only_warnings(libbpf_print_level level, const char* format, va_list arguments) {
  return level == LIBBPF_WARN ? vfprintf(stderr, format, arguments) : 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: weir_vm_load OBJECT\n");
    return 2;
  }
  libbpf_set_print(only_warnings);
  bpf_object* object = bpf_object__open(argv[1]);
  if (object == nullptr) {
    std::perror(argv[1]);
    return 1;
  }
  std::vector<std::vector<char>> logs;
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object) {
    bpf_program__set_autoload(program, true);
    logs.emplace_back(kLogSize, '\0');
    bpf_program__set_log_level(program, 4);  // the verifier's figures alone
    bpf_program__set_log_buf(program, logs.back().data(), kLogSize);
  }
  if (const int error = bpf_object__load(object); error != 0) {
    std::fprintf(stderr, "the kernel refused the object: %s\n", std::strerror(-error));
    for (const auto& log : logs) {
      const std::string_view end = excerpt(log);
      std::fprintf(stderr, "%.*s\n", static_cast<int>(end.size()), end.data());
    }
    return 1;
  }
  std::size_t at = 0;
  std::printf("{");
  bpf_object__for_each_program(program, object) {
    bpf_prog_info info{};
    __u32 length = sizeof info;
    if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &length) != 0) {
      std::perror("asking for a program's figures");
      return 1;
    }
    std::printf("%s\"%s\": {\"verified\": %u, \"states\": %lu, \"jited\": %u}", at == 0 ? "" : ", ",
                bpf_program__name(program), info.verified_insns, word_after(logs[at].data(), "total_states "),
                info.jited_prog_len);
    ++at;
  }
  std::printf("}\n");
  bpf_object__close(object);
  return 0;
}
