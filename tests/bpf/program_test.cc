// SPDX-License-Identifier: MIT
// What the programs are made of, before any frame.
#include <linux/bpf.h>

#include <set>

#include "xdp_test.h"

namespace weir::bpf_test {
namespace {

// The helpers that a program calls, in any function that comes with it.
std::set<int> helpers(const bpf_program* program) {
  std::set<int> out;
  const bpf_insn* code = bpf_program__insns(program);
  for (std::size_t i = 0; i < bpf_program__insn_cnt(program); ++i)
    if (code[i].code == (BPF_JMP | BPF_CALL) && code[i].src_reg == 0) out.insert(code[i].imm);
  return out;
}

class Program : public XdpTest {};

// From 6.12 on, a kernel refuses a replacement that may move the frame's bounds where the function that it replaces
// does not, and goes by what is there, not by what is come to. So the build machine's kernel, which cannot load one as
// such, can tell all the same.
TEST_F(Program, TheSharedOneMovesNoBounds) {
  weir_bpf* both = weir_bpf__open();
  ASSERT_NE(both, nullptr);
  bpf_program__set_autoload(both->progs.weir_xdp_shared, true);
  ASSERT_EQ(weir_bpf__load(both), 0);
  const std::set<int> own = helpers(both->progs.weir_xdp);
  const std::set<int> shared = helpers(both->progs.weir_xdp_shared);
  EXPECT_TRUE(shared.count(BPF_FUNC_redirect_map) != 0);
  for (const int moves : {BPF_FUNC_xdp_adjust_meta, BPF_FUNC_xdp_adjust_tail}) {
    EXPECT_TRUE(own.count(moves) != 0) << moves;
    EXPECT_TRUE(shared.count(moves) == 0) << moves;
  }
  EXPECT_TRUE(shared.count(BPF_FUNC_xdp_adjust_head) == 0);
  weir_bpf__destroy(both);
}

}  // namespace
}  // namespace weir::bpf_test
