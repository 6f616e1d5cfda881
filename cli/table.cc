// SPDX-License-Identifier: MIT
#include "table.h"

#include <algorithm>

namespace weir::cli {
namespace {

// clang-format off: a table reads by its columns
Arg positional(std::string_view name, Value value, Need need, std::string_view help) {
  return {Shape::positional, name, name, value, need, help};
}
Arg keyword(std::string_view name, std::string_view metavar, Value value, std::string_view help) {
  return {Shape::keyword, name, metavar, value, Need::optional, help};
}
Arg word(std::string_view name, std::string_view choices, Need need, std::string_view help) {
  return {Shape::word, name, choices, Value::choice, need, help};
}
Arg flag(std::string_view name, std::string_view help, std::string_view brief = {}) {
  return {Shape::option, name, "", Value::none, Need::optional, help, "", brief};
}
Arg option(std::string_view name, std::string_view metavar, Value value, std::string_view help,
           std::string_view implied = {}, std::string_view brief = {}) {
  return {Shape::option, name, metavar, value, Need::optional, help, implied, brief};
}
// clang-format on

constexpr std::string_view kDev = "the interface; may be left out where weir is attached to only one";
constexpr std::string_view kNoGuard =
    "do not keep the SSH session that this is typed in from the filter and the steering";
constexpr std::string_view kIface = "the interface; without it, the one weir is attached to";

std::vector<Command> make_commands() {
  std::vector<Command> table;

  table.push_back(
      {"attach",
       "",
       "put weir's XDP program on an interface; nothing is steered yet",
       {positional("IFACE", Value::interface, Need::required, "a network device of this namespace"),
        option("--mode", "auto|native|generic", Value::choice, "auto: native where the driver can, else generic"),
        flag("--bypass-firewall", "serve steered ports although the host's firewall does not see their frames"),
        option("--checksum", "auto|verify|partial", Value::choice,
               "partial: frames may come with the pseudo-header's checksum only (veth, virtio)"),
        flag("--shared", "beside other XDP programs, by libxdp's dispatcher, where the kernel can run it"),
        flag("--replace", "put this version's program in the place of the attached one; no packet is lost"),
        flag("--no-guard", kNoGuard),
        flag("--verbose", "on standard error, what libbpf and the kernel's verifier say")},
       Rest::none,
       run_attach,
       "The program stays when this command ends; `weir detach` takes it off.\n"
       "With --replace, mode and choices stay as they are unless given.\n",
       "weir attach eth0"});

  table.push_back({"detach",
                   "",
                   "take weir's program off an interface, with its maps",
                   {positional("IFACE", Value::interface, Need::required, "the interface"),
                    flag("--force", "reset the engine's live flows first; without it they are a refusal")},
                   Rest::none,
                   run_detach,
                   "",
                   "weir detach eth0"});

  table.push_back(
      {"status",
       "",
       "where weir is attached, who serves, and what to do next",
       {positional("IFACE", Value::interface, Need::optional, "without it, every interface weir is attached to")},
       Rest::none,
       run_status,
       "",
       "weir status"});

  table.push_back(
      {"stats",
       "",
       "what became of every frame, and why",
       {positional("IFACE", Value::interface, Need::optional, kIface),
        option("--watch", "SECONDS", Value::seconds, "again every SECONDS (1), with rates, until Ctrl-C", "1"),
        flag("--all", "reasons that never happened, too")},
       Rest::none,
       run_stats,
       "pass, drop, steer and answer are the XDP program's verdicts and add up to all frames received; ring is what\n"
       "was lost between it and the engine; taken and lost are what the engine did with what it got.\n",
       "weir stats eth0 --watch 2"});

  table.push_back(
      {"top",
       "",
       "rates by verdict, reason, rule, port, engine and connection, as a live screen",
       {positional("IFACE", Value::interface, Need::optional, kIface),
        option("--interval", "SECONDS", Value::seconds, "between two looks; 1 unless given"),
        option("--view", "overview|reasons|rules|ports|engines|connections", Value::choice, "what to begin with"),
        option("--sort", "packets|bits|total|name", Value::choice, "what its rows are in order of"),
        flag("--batch", "frame after frame as plain text; as it is where standard output is no terminal"),
        option("--count", "N", Value::number, "so many frames in batch mode, or with -j; else until it is ended")},
       Rest::none,
       run_top,
       "Keys: 1-6 and tab choose the view, s what it is in order of, r the direction, p or space pause, arrows\n"
       "and pages scroll, q quits. It goes on when the interface is detached, attached anew or replaced, and\n"
       "says so.\n",
       "weir top eth0"});

  table.push_back(
      {"metrics",
       "",
       "what weir knows, in the text format of Prometheus",
       {positional("IFACE", Value::interface, Need::optional, "without it, every interface weir is attached to"),
        option("--output", "FILE", Value::file,
               "into a file, by a rename: as node_exporter's textfile collector wants it"),
        option("--listen", "[ADDRESS:]PORT", Value::text,
               "serve GET /metrics over HTTP, on 127.0.0.1 unless told; 0: any port")},
       Rest::none,
       run_metrics,
       "",
       "weir metrics --listen 9477"});

  const Arg protocol = word("protocol", "tcp|udp", Need::optional, "tcp unless given");
  const Arg port = positional("PORT", Value::ports, Need::required, "1-65535, a range P-Q, or a name of /etc/services");
  const Arg to = keyword("to", "PREFIX", Value::prefix, "only to this address of ours, or network with /LENGTH");
  const Arg from = keyword("from", "PREFIX", Value::prefix, "only from these clients, likewise");
  const Arg dev = keyword("dev", "IFACE", Value::interface, kDev);

  table.push_back(
      {"steer",
       "add",
       "give new connections to the engine that listens on their port",
       {protocol, port, to, from, dev,
        keyword("app", "NAME", Value::app_name, "only to the engine of this name (`weir run --app NAME`)"),
        keyword("absent", "pass|drop", Value::choice,
                "new connections while no engine is there: to the kernel (pass), or dropped"),
        flag("--no-guard", "steer sshd's port, too")},
       Rest::none,
       run_steer_add,
       "Where entries overlap, the more specific has the connection: the narrower range of ports, then the\n"
       "longer prefix of `to`, then that of `from`. Connections that the kernel has already stay the kernel's.\n",
       "weir steer add tcp 8080 from 192.0.2.0/24 dev eth0"});
  table.push_back({"steer",
                   "del",
                   "give new connections to the kernel again: the words of `add` name the entry",
                   {protocol, port, to, from, dev,
                    flag("--now", "reset the flows the engine has; without it they live to their end")},
                   Rest::none,
                   run_steer_del,
                   "",
                   "weir steer del tcp 8080"});
  table.push_back({"steer",
                   "list",
                   "what is steered, who listens, and how many flows live",
                   {dev},
                   Rest::none,
                   run_steer_list,
                   "",
                   "weir steer list"});

  table.push_back(
      {"syn-guard",
       "",
       "let XDP answer new connections of steered ports by SYN cookies, always or in a flood",
       {word("mode", "on|off|auto", Need::optional, "without it, how it stands"),
        keyword("rate", "N", Value::number, "auto: on above N SYNs a second of an entry (10000 unless given)"), dev},
       Rest::none,
       run_syn_guard,
       "While it is on, the engine gets no SYN, and segments only of connections that it has or whose cookie is\n"
       "good. auto goes off again after 5 s below half the rate.\n",
       "weir syn-guard auto rate 20000"});

  table.push_back(
      {"filter",
       "add",
       "add a rule; it is in force at once",
       {dev, keyword("index", "N", Value::number, "before the rule that is N-th now (0: first); without it, last"),
        keyword("name", "NAME", Value::rule_name, "1-31 letters, digits, '_', '-', '.'; without it, one is found"),
        word("action", "drop|pass|accept", Need::required,
             "drop: refuse; pass: to the kernel, unsteered; accept: ask no further rule"),
        keyword("proto", "tcp|udp|icmp|icmpv6|N", Value::protocol, "the IP protocol"),
        keyword("from", "PREFIX|@SET", Value::addresses, "source address, network with /LENGTH, or named set"),
        keyword("to", "PREFIX|@SET", Value::addresses, "destination likewise"),
        keyword("sport", "P[-Q]", Value::port_range, "source port or ports; needs proto tcp or udp"),
        keyword("port", "P[-Q]", Value::port_range, "destination port or ports, likewise"),
        keyword("flags", "SET[/OF]", Value::rule_word, "TCP flags of FSRPAUEC: S/SA, -/FSRPAU, R"),
        keyword("icmp-type", "N[-M]", Value::rule_word, "needs proto icmp or icmpv6"),
        keyword("vlan", "none|any|ID[-ID]", Value::rule_word, "the outermost tag"),
        keyword("fragment", "no|yes|first|later", Value::choice, "of IP"),
        keyword("length", "N[-M]", Value::rule_word, "octets of the IP packet, its header included"),
        keyword("limit", "RATE", Value::rule_word, "drop what is beyond it: 100/s, 10k/s packets; 500kB/s, 10MB/s"),
        keyword("burst", "N", Value::text, "what an idle limit lets through at once: 20, 64kB; a second's worth"),
        keyword("per", "rule|source", Value::choice, "one limit for the rule, or one for each source address"),
        keyword("sample", "N", Value::rule_word, "one frame in N is copied to `weir dump --sampled`"),
        flag("--no-guard", kNoGuard)},
       Rest::none,
       run_filter_add,
       "The first rule that matches decides; a frame that none matches is accepted. ARP, neighbour discovery,\n"
       "DHCP and ICMP errors are never filtered.\n",
       "weir filter add drop from 192.0.2.0/24 proto tcp port 80-90"});
  table.push_back({"filter",
                   "del",
                   "remove a rule",
                   {positional("NAME", Value::rule_name, Need::required, "as `weir filter list` shows it"), dev},
                   Rest::none,
                   run_filter_del,
                   "",
                   "weir filter del r3"});
  table.push_back({"filter",
                   "list",
                   "the rules in order, with what each has matched",
                   {dev},
                   Rest::none,
                   run_filter_list,
                   "",
                   "weir filter list"});
  table.push_back(
      {"filter", "flush", "remove all rules", {dev}, Rest::none, run_filter_flush, "", "weir filter flush"});
  const Arg file = positional("FILE", Value::file, Need::required, "a file of rules, or - for standard input");
  table.push_back(
      {"filter",
       "apply",
       "put the rules of a file in the place of those there are, at once",
       {file, dev, flag("--dry-run", "show what would change, and change nothing"),
        option("--confirm", "TIME", Value::timespan,
               "take it back after TIME (60s, 5m) unless `weir filter confirm` comes"),
        flag("--no-guard", kNoGuard)},
       Rest::none,
       run_filter_apply,
       "A line a rule: rule NAME ACTION WORDS, with the words of `weir filter add`; # begins a comment. A set:\n"
       "set NAME { ENTRIES }, set NAME file PATH, or set NAME to keep its entries. A rule\n"
       "whose name stays keeps its counters. The program itself takes back what is not confirmed: that needs\n"
       "neither this command nor the session it was typed in.\n",
       "weir filter apply /etc/weir/filter --confirm 60s"});
  table.push_back({"filter",
                   "diff",
                   "what `apply` would change",
                   {file, dev},
                   Rest::none,
                   run_filter_diff,
                   "",
                   "weir filter diff /etc/weir/filter"});
  table.push_back({"filter",
                   "export",
                   "the rules and sets as a file that `apply` takes",
                   {dev, option("--sets", "DIR", Value::file, "the entries of each set into DIR/NAME.list"),
                    flag("--no-entries", "sets by name alone: `apply` leaves their entries as they are")},
                   Rest::none,
                   run_filter_export,
                   "",
                   "weir filter export >/etc/weir/filter"});
  table.push_back({"filter",
                   "confirm",
                   "keep the rules that were applied with --confirm",
                   {dev},
                   Rest::none,
                   run_filter_confirm,
                   "",
                   "weir filter confirm"});
  table.push_back({"filter",
                   "rollback",
                   "take the rules that were applied with --confirm back at once",
                   {dev},
                   Rest::none,
                   run_filter_rollback,
                   "",
                   "weir filter rollback"});

  table.push_back(
      {"filter",
       "test",
       "what the attached program would do with a packet, and why",
       {dev, keyword("queue", "N", Value::number, "as if it came on that receive queue (0)"),
        keyword("from", "ADDRESS", Value::prefix, "source address"),
        keyword("to", "ADDRESS", Value::prefix, "destination; without it, the interface's own"),
        keyword("proto", "tcp|udp|icmp|icmpv6|N", Value::protocol, "tcp unless given"),
        keyword("sport", "P", Value::port_range, "source port (40000)"),
        keyword("port", "P", Value::port_range, "destination port"),
        keyword("dport", "P", Value::port_range, "the same"),
        keyword("flags", "SET", Value::rule_word, "TCP flags of FSRPAUEC (S: a new connection)"),
        keyword("icmp-type", "N", Value::rule_word, "an echo request unless given"),
        keyword("vlan", "none|ID", Value::rule_word, "a tag"),
        keyword("fragment", "no|first|later", Value::choice, "of IP"),
        keyword("length", "N", Value::rule_word, "octets of the IP packet, its header included"),
        keyword("hex", "OCTETS", Value::text, "the whole frame, from its Ethernet header on"),
        keyword("pcap", "FILE", Value::file, "each packet of a pcap or pcapng file, or of standard input (-)")},
       Rest::none,
       run_filter_test,
       "The program that is attached runs on it and tells: nothing is counted, charged to a limit, or kept.\n",
       "weir filter test from 192.0.2.1 proto tcp port 443"});

  table.push_back(
      {"guard",
       "add",
       "keep TCP from an address to sshd's port from the filter and the steering",
       {positional("ADDRESS", Value::text, Need::required, "where the operator comes from"),
        keyword("port", "PORT", Value::port, "of sshd (22)"), dev},
       Rest::none,
       run_guard_add,
       "attach, filter add, filter apply and steer add do it by themselves for the session they are typed in.\n",
       "weir guard add 192.0.2.1"});
  table.push_back({"guard",
                   "del",
                   "guard an address no more",
                   {positional("ADDRESS", Value::text, Need::required, "as `weir guard list` shows it"),
                    keyword("port", "PORT", Value::port, "without it, all of that address"), dev},
                   Rest::none,
                   run_guard_del,
                   "",
                   "weir guard del 192.0.2.1"});
  table.push_back({"guard",
                   "list",
                   "the SSH sessions that are never filtered and never steered",
                   {dev},
                   Rest::none,
                   run_guard_list,
                   "",
                   "weir guard list"});

  const Arg set = positional("SET", Value::set_name, Need::required, "its name: what rules ask for as @SET");
  const Arg maybe_entry = positional("PREFIX", Value::set_feed, Need::optional,
                                     "an address, a network with /LENGTH, a range: 192.0.2.7-192.0.2.20, or -");
  table.push_back({"set",
                   "list",
                   "the named sets, and which rules ask for them",
                   {dev},
                   Rest::none,
                   run_set_list,
                   "",
                   "weir set list"});
  table.push_back({"set",
                   "show",
                   "the entries of a set, as a list that `load` takes",
                   {set, dev},
                   Rest::none,
                   run_set_show,
                   "",
                   "weir set show blocklist"});
  table.push_back(
      {"set",
       "add",
       "add an entry; without one, make an empty set",
       {set, maybe_entry,
        keyword("ttl", "TIME", Value::ttl, "it leaves the set by itself after TIME: 60s, 5m, 12h, 7d"), dev},
       Rest::none,
       run_set_add,
       "An entry that is there already is no error: a TIME begins anew, and one that stays is given none.\n"
       "- reads changes from standard input, a line each, as they come: ENTRY [ttl TIME], with add or del in\n"
       "front where one is not the verb's. A line is in force when it is read.\n",
       "weir set add ban 192.0.2.7 ttl 1h"});
  table.push_back({"set",
                   "del",
                   "remove an entry; without one, the set",
                   {set, maybe_entry, dev},
                   Rest::none,
                   run_set_del,
                   "Exactly that prefix goes: others that cover it stay, and keep its addresses in the set.\n"
                   "- reads changes from standard input, as those of `weir set add`.\n",
                   "weir set del ban 192.0.2.7"});
  table.push_back(
      {"set",
       "load",
       "put the entries of a file in the place of those of a set, at once",
       {set, positional("FILE", Value::file, Need::required, "a list, or - for standard input"), dev},
       Rest::none,
       run_set_load,
       "Addresses, networks and ranges of both families, one a line; # and ; begin a comment. Makes the set\n"
       "where there is none. Where it is interrupted nothing is changed.\n",
       "weir set load blocklist /var/lib/weir/blocklist.txt"});
  table.push_back({"set",
                   "flush",
                   "remove all entries of a set, at once",
                   {set, dev},
                   Rest::none,
                   run_set_flush,
                   "",
                   "weir set flush ban"});
  table.push_back({"set",
                   "test",
                   "whether an address is in a set, and by which entries",
                   {set, positional("ADDRESS", Value::set_entry, Need::required, "an address, or a network"), dev},
                   Rest::none,
                   run_set_test,
                   "Exit status 0: it is. 1: it is not.\n",
                   "weir set test blocklist 192.0.2.7"});

  table.push_back({"sockets",
                   "",
                   "the engine's listeners and connections, as ss shows the kernel's",
                   {positional("IFACE", Value::interface, Need::optional, kIface),
                    flag("--info", "round trip time, congestion window, retransmissions", "-i"),
                    flag("--all", "connections in TIME-WAIT too, which are else only counted", "-a")},
                   Rest::none,
                   run_sockets,
                   "",
                   "weir sockets -i"});

  table.push_back({"drops",
                   "",
                   "why frames were dropped, and the latest of each reason",
                   {positional("IFACE", Value::interface, Need::optional, kIface)},
                   Rest::none,
                   run_drops,
                   "",
                   "weir drops eth0"});
  table.push_back(
      {"dump",
       "",
       "frames as they come and go, with what became of each and why",
       {option("--write", "FILE", Value::file, "pcapng, with a comment on each packet; - for standard output", {},
               "-w"),
        option("--count", "N", Value::number, "end after N frames", {}, "-c"),
        option("--snaplen", "N", Value::number, "the first N octets of each frame; 0: all", {}, "-s"),
        option("--verdict", "V,...", Value::verdicts,
               "only these: pass, drop, steer, answer; send: what the engine sends"),
        option("--reason", "R,...", Value::reasons, "only these reasons, as `weir stats --all` names them"),
        flag("--sampled", "only what a rule's `sample` has chosen")},
       Rest::expression,
       run_dump,
       "EXPRESSION is libpcap's, as tcpdump takes it. Without -w each frame is a line. How many frames were\n"
       "captured, shown and lost is told at the end, on standard error.\n",
       "weir dump eth0 -w - --verdict drop tcp port 443 | tcpdump -r -"});

  table.push_back({"cc",
                   "list",
                   "the congestion controls that the engine knows, and how many connections have each",
                   {positional("IFACE", Value::interface, Need::optional, kIface)},
                   Rest::none,
                   run_cc_list,
                   "",
                   "weir cc list eth0"});
  table.push_back(
      {"cc",
       "set",
       "change the congestion control of new connections and of those that run",
       {positional("IFACE", Value::interface, Need::required, "the interface"),
        positional("NAME", Value::text, Need::required, "as `weir cc list` shows it")},
       Rest::none,
       run_cc_set,
       "A running connection goes on with the window and the threshold that it has. Connections of a listener\n"
       "with a choice of its own keep to that. It lasts as long as the engine's process.\n",
       "weir cc set eth0 bbr"});

  table.push_back(
      {"run",
       "",
       "open the engine's sockets, drop all privileges, and start a program",
       {option("--user", "USER", Value::text, "run the program as this user, with its groups"),
        option("--interface", "IFACE", Value::interface, "without it, every interface weir is attached to"),
        option("--app", "NAME", Value::app_name,
               "the engine's name, for steering entries that ask for it ($WEIR_APP)")},
       Rest::command,
       run_run,
       "The program inherits the descriptors it needs ($WEIR_INHERIT), no capability, and no_new_privs. Where\n"
       "weir is attached to nothing it runs on kernel sockets.\n",
       "weir run --user www-data -- weir-http --port 8080"});

  table.push_back(
      {"doctor",
       "",
       "what this machine and this interface can do, and the line that mends what they cannot",
       {positional("IFACE", Value::interface, Need::optional, "without it, the machine, and where weir is attached")},
       Rest::none,
       run_doctor,
       "Exit status 1 if any check fails.\n",
       "weir doctor eth0"});

  table.push_back({"completion",
                   "",
                   "print the completion script of a shell",
                   {word("shell", "bash|zsh|fish", Need::required, "the shell")},
                   Rest::none,
                   run_completion,
                   "",
                   "weir completion bash >/etc/bash_completion.d/weir"});
  return table;
}

}  // namespace

const std::vector<Command>& commands() {
  static const std::vector<Command> table = make_commands();
  return table;
}

const std::vector<GlobalOption>& global_options() {
  static const std::vector<GlobalOption> options = {
      {"-n", "--netns", "NETNS", "act in this network namespace: a name of `ip netns`, a path, or a process id"},
      {"-j", "--json", "", "one JSON document, on one line"},
      {"-h", "--help", "", "this help, or that of the command"},
      {"-V", "--version", "", "version, and version of the map ABI"},
  };
  return options;
}

std::vector<std::string> object_names() {
  std::vector<std::string> names;
  for (const Command& command : commands())
    if (names.empty() || names.back() != command.object) names.emplace_back(command.object);
  return names;
}

std::vector<std::string> verb_names(std::string_view object) {
  std::vector<std::string> names;
  for (const Command& command : commands())
    if (command.object == object && !command.verb.empty()) names.emplace_back(command.verb);
  return names;
}

const Command* find_command(std::string_view object, std::string_view verb) {
  for (const Command& command : commands())
    if (command.object == object && command.verb == verb) return &command;
  return nullptr;
}

}  // namespace weir::cli
