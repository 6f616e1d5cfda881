// SPDX-License-Identifier: MIT
// Every *.pkt of this directory, for both families, as a test: <name>.v4 and <name>.v6.
//
//   weir_script_test --run FILE...     those alone, wherever they are
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>

#include "script.h"

namespace weir::script {
namespace {

namespace fs = std::filesystem;

std::string run_file(const fs::path& path, Family family) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  if (!in) return path.string() + ": cannot be read";
  try {
    return run_script(parse_script(path.filename().string(), text.str()), family);
  } catch (const Error& e) { return path.filename().string() + ":" + std::to_string(e.line) + ": " + e.what(); }
}

class ScriptTest : public testing::Test {
 public:
  ScriptTest(fs::path path, Family family) : path_(std::move(path)), family_(family) {}
  void TestBody() override {
    std::string what = run_file(path_, family_);
    EXPECT_TRUE(what.empty()) << what;
  }

 private:
  fs::path path_;
  Family family_;
};

void register_all() {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(WEIR_SCRIPT_DIR)) {
    if (entry.path().extension() == ".pkt") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const fs::path& path : files) {
    for (Family family : {Family::v4, Family::v6}) {
      testing::RegisterTest(path.stem().c_str(), family == Family::v4 ? "v4" : "v6", nullptr, nullptr, __FILE__,
                            __LINE__, [path, family]() -> testing::Test* { return new ScriptTest(path, family); });
    }
  }
}

}  // namespace
}  // namespace weir::script

int main(int argc, char** argv) {
  if (argc > 2 && std::string(argv[1]) == "--run") {
    bool failed = false;
    for (int i = 2; i < argc; ++i) {
      for (weir::Family family : {weir::Family::v4, weir::Family::v6}) {
        std::string what = weir::script::run_file(argv[i], family);
        std::cout << argv[i] << (family == weir::Family::v4 ? " v4 " : " v6 ") << (what.empty() ? "ok\n" : what + "\n");
        failed |= !what.empty();
      }
    }
    return failed ? 1 : 0;
  }
  testing::InitGoogleTest(&argc, argv);
  weir::script::register_all();
  return RUN_ALL_TESTS();
}
