// SPDX-License-Identifier: MIT
// The command table: every command once, with its grammar, its help and what runs it. Parsing, help and completion
// read it; a command that is not here does not exist.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "args.h"
#include "output.h"
#include "weir/control/instance.h"

namespace weir::cli {

using control::Error;
using control::Outcome;
using xdp::fail;

enum Exit : int { kOk = 0, kFailed = 1, kUsage = 2 };

struct Context {
  Arguments args;
  bool json = false;
};

// The exit status, or an error: one line for standard error, and exit status 1.
using Run = Outcome<int> (*)(const Context&);

struct Command {
  std::string_view object;
  std::string_view verb;  // empty where the object has only one thing to do
  std::string_view summary;
  std::vector<Arg> grammar;
  Rest rest = Rest::none;
  Run run = nullptr;
  std::string_view details = {};  // for `help`, whole lines
  std::string_view example = {};

  std::string name() const {
    return verb.empty() ? std::string(object) : std::string(object) + " " + std::string(verb);
  }
};

const std::vector<Command>& commands();

struct GlobalOption {
  std::string_view brief;
  std::string_view name;
  std::string_view metavar;
  std::string_view help;
};
const std::vector<GlobalOption>& global_options();

std::vector<std::string> object_names();  // in the order of the table
std::vector<std::string> verb_names(std::string_view object);
const Command* find_command(std::string_view object, std::string_view verb);

// help.cc
std::string overview();
std::string usage();  // a line for each object
Json grammar_json();  // all of the table
std::string object_help(std::string_view object);
std::string command_help(const Command& command);

// The commands, each in the file of its object.
Outcome<int> run_attach(const Context&);
Outcome<int> run_detach(const Context&);
Outcome<int> run_status(const Context&);
Outcome<int> run_stats(const Context&);
Outcome<int> run_top(const Context&);
Outcome<int> run_metrics(const Context&);
Outcome<int> run_syn_guard(const Context&);
Outcome<int> run_steer_add(const Context&);
Outcome<int> run_steer_del(const Context&);
Outcome<int> run_steer_list(const Context&);
Outcome<int> run_filter_add(const Context&);
Outcome<int> run_filter_del(const Context&);
Outcome<int> run_filter_list(const Context&);
Outcome<int> run_filter_flush(const Context&);
Outcome<int> run_filter_apply(const Context&);
Outcome<int> run_filter_diff(const Context&);
Outcome<int> run_filter_export(const Context&);
Outcome<int> run_filter_confirm(const Context&);
Outcome<int> run_filter_rollback(const Context&);
Outcome<int> run_filter_test(const Context&);
Outcome<int> run_guard_add(const Context&);
Outcome<int> run_guard_del(const Context&);
Outcome<int> run_guard_list(const Context&);
Outcome<int> run_set_list(const Context&);
Outcome<int> run_set_show(const Context&);
Outcome<int> run_set_add(const Context&);
Outcome<int> run_set_del(const Context&);
Outcome<int> run_set_load(const Context&);
Outcome<int> run_set_flush(const Context&);
Outcome<int> run_set_test(const Context&);
Outcome<int> run_sockets(const Context&);
Outcome<int> run_cc_list(const Context&);
Outcome<int> run_cc_set(const Context&);
Outcome<int> run_run(const Context&);
Outcome<int> run_drops(const Context&);
Outcome<int> run_dump(const Context&);
Outcome<int> run_doctor(const Context&);
Outcome<int> run_completion(const Context&);

// The instance that a command is about: that of `interface`, or of the one interface that weir is attached to here.
Outcome<control::Instance> choose_instance(const std::optional<std::string>& interface);
// That of `interface`, or all of this namespace that can be opened.
Outcome<std::vector<control::Instance>> choose_instances(const std::optional<std::string>& interface);

// Candidates for the last of `words` (the words after "weir"), for the shells' completion.
std::vector<std::string> complete(std::vector<std::string> words);

}  // namespace weir::cli
