// `candorctl doctor`: is the node well, and if not, what to do.
#include <chrono>

#include <fmt/format.h>

#include "storage/base/limits.hpp"
#include "storage/base/time.hpp"
#include "tools/candorctl/cluster_view.hpp"
#include "tools/candorctl/session.hpp"

namespace candor::ctl {

namespace {

struct finding {
  std::string check;
  bool holds;
  std::string what;
  std::string remedy; ///< where it does not hold
};

/// One GET of a health endpoint.
finding look(http_client::client& node, const std::string& check, const std::string& path,
             const std::string& remedy) {
  auto answer = node.send("GET", path);
  if (!answer)
    return {check, false, answer.error().detail, remedy};
  if (answer->ok())
    return {check, true, "yes", {}};
  auto why = http_client::to_failure(*answer);
  return {check, false, why.sentence + (why.why.detail.empty() ? "" : " " + why.why.detail),
          remedy};
}

/// What the node says of itself, judged.
std::vector<finding> judge(const json& status, timestamp machine_now) {
  std::vector<finding> made;
  auto version = field(status, "version");
  made.push_back({"version", version == CANDOR_VERSION,
                  fmt::format("node {}, candorctl {}", version, CANDOR_VERSION),
                  "Install the same version of both."});

  auto now = parse_time(field(status, "now"));
  if (field(status, "clock") == "settable") {
    made.push_back({"clock", true, fmt::format("settable, {}", field(status, "now")), {}});
  } else if (now) {
    auto skew = std::chrono::abs(*now - machine_now);
    made.push_back(
        {"clock", skew < millis{limits::future_tolerance} / 10,
         fmt::format("{:.1f} s from this machine's", static_cast<double>(skew.count()) / 1000),
         "Let a time service (chrony, systemd-timesyncd) run on both machines."});
  }

  const auto& data = status.at("data");
  made.push_back({"disk space", !data.value("low_on_disk", false), disk_line(data),
                  "Free space on the disk of the data folder: the node takes no new data, while "
                  "reads and erasures go on."});
  auto folder = field(data, "folder");
  auto fleeting = folder.starts_with("/tmp/") || folder.starts_with("/dev/shm/");
  made.push_back({"data folder",
                  true,
                  folder + (fleeting ? " (it may not outlive a restart of the machine)" : ""),
                  {}});

  // Of the shards that this node leads: others say it of theirs.
  std::size_t without = 0;
  auto shards = json::array();
  for (const auto& s : status.at("shards"))
    if (s.contains("policies"))
      shards.push_back(s);
  for (const auto& s : shards)
    without += s.at("policies").empty();
  made.push_back({"policies", without == 0 && (!shards.empty() || status.contains("nodes")),
                  fmt::format("{} of {} shards have one", shards.size() - without, shards.size()),
                  "Name policies in the node's configuration; without one nothing is learned from "
                  "the assistant."});
  if (status.contains("nodes")) {
    auto problems = find_problems(status);
    made.push_back({"cluster", problems.empty(),
                    problems.empty() ? fmt::format("{} nodes, healthy", count_nodes(status))
                                     : fmt::format("{}", fmt::join(problems, "; ")),
                    "docs/operate.md says what each problem means and what to do."});
  }
  return made;
}

int examine(const session& with) {
  auto node = with.connect();
  std::vector<finding> findings;
  findings.push_back(look(node, "reachable", "/livez",
                          "Start candord, or name its address with --node or CANDOR_NODE."));
  if (findings.back().holds) {
    findings.push_back(look(node, "started", "/startupz",
                            "Wait; a node reads its log when it starts. Its log says how far."));
    findings.push_back(look(node, "ready", "/readyz", "See the node's log on its stderr."));
    auto status = node.get("/v1/cluster");
    if (status) {
      auto now = std::chrono::floor<millis>(std::chrono::system_clock::now());
      auto more = judge(*status, now);
      findings.insert(findings.end(), more.begin(), more.end());
    } else {
      findings.push_back({"status", false,
                          status.error().sentence + " " + status.error().why.detail,
                          status.error().remedy});
    }
  }
  auto well = std::ranges::all_of(findings, &finding::holds);
  json answer = {{"node", node.with().url}, {"ok", well}, {"checks", json::array()}};
  for (const auto& f : findings) {
    json line = {{"check", f.check}, {"ok", f.holds}, {"what", f.what}};
    if (!f.holds)
      line["remedy"] = f.remedy;
    answer["checks"].push_back(std::move(line));
  }
  with.print_list(answer, "checks", [](const json& a) {
    for (const auto& c : a.at("checks")) {
      fmt::print("{}  {:<12} {}\n", c.value("ok", false) ? "ok  " : "FAIL", field(c, "check"),
                 field(c, "what"));
      if (c.contains("remedy"))
        fmt::print("      {:<12} {}\n", "", field(c, "remedy"));
    }
  });
  return well ? exit_fine : exit_unhealthy;
}

} // namespace

void add_doctor(CLI::App& app, session& with, command& chosen) {
  auto* c =
      add_command(app, "doctor", "Check that the node is well and say what to do if not (exit 10)",
                  "  candorctl doctor --node http://127.0.0.1:8080");
  c->callback([&with, &chosen] { chosen = [&with] { return examine(with); }; });
}

} // namespace candor::ctl
