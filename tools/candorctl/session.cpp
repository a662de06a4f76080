#include "tools/candorctl/session.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <unistd.h>

#include "tools/candorctl/cluster_file.hpp"

namespace candor::ctl {

namespace {

constexpr millis first_answer{1'000};

} // namespace

http_client::client session::connect() const {
  if (nodes.empty())
    return http_client::client{{node, key, ca_file, timeout}};
  for (const auto& url : nodes)
    if (http_client::client{{url, {}, ca_file, std::min(first_answer, timeout)}}.send("GET",
                                                                                      "/livez"))
      return http_client::client{{url, key, ca_file, timeout}};
  return http_client::client{{nodes.front(), key, ca_file, timeout}}; // it says why not
}

result<void> session::find_nodes() {
  if (!node.empty())
    return {};
  CANDOR_TRY(found, find_cluster_file());
  if (!found) {
    node = "http://127.0.0.1:8080";
    return {};
  }
  nodes = std::move(found->urls);
  if (ca_file.empty())
    ca_file = found->ca_file;
  if (key.empty())
    key = found->key;
  return {};
}

int session::complain(const http_client::failure& why) const {
  const auto& row = info(why.why.code);
  if (as != output::text) {
    json object = {{"code", row.slug}, {"title", why.sentence}};
    if (!why.why.detail.empty())
      object["detail"] = why.why.detail;
    object["remedy"] = why.remedy;
    if (!why.trace_id.empty())
      object["trace_id"] = why.trace_id;
    fmt::print(stderr, "{}\n", object.dump());
    return exit_failed;
  }
  fmt::print(stderr, "{}: {}{}\n", row.slug, why.sentence,
             why.why.detail.empty() ? "" : " (" + why.why.detail + ")");
  if (!why.remedy.empty())
    fmt::print(stderr, "  {}\n", why.remedy);
  if (!why.trace_id.empty())
    fmt::print(stderr, "  trace {}\n", why.trace_id);
  return exit_failed;
}

int session::complain(const error& why) const {
  return complain(http_client::to_failure(why));
}

void session::print(const json& answer, const std::function<void(const json&)>& text) const {
  switch (as) {
    case output::text:
      text(answer);
      break;
    case output::json:
      fmt::print("{}\n", answer.dump(2));
      break;
    case output::jsonl:
      fmt::print("{}\n", answer.dump());
      break;
  }
}

void session::print_list(const json& whole, const char* items,
                         const std::function<void(const json&)>& text) const {
  if (as != output::jsonl)
    return print(whole, text);
  for (const auto& item : whole.at(items))
    fmt::print("{}\n", item.dump());
}

http_client::outcome<json> session::admin(std::string_view verb, const json& arguments) const {
  return connect().call("POST", "/v1/admin/" + http_client::escape(verb), arguments);
}

CLI::App* add_command(CLI::App& parent, const std::string& name, const std::string& sentence,
                      const std::string& examples) {
  auto* made = parent.add_subcommand(name, sentence);
  made->footer("\nExample:\n" + examples);
  return made;
}

CLI::App* add_group(CLI::App& parent, const std::string& name, const std::string& sentence) {
  auto* made = parent.add_subcommand(name, sentence);
  made->require_subcommand(1);
  made->footer("");
  return made;
}

std::string plain(const json& value) {
  if (value.is_null())
    return "-";
  if (value.is_string())
    return value.get<std::string>();
  return value.dump();
}

std::string field(const json& object, std::string_view name) {
  auto it = object.find(std::string{name});
  return it == object.end() ? "-" : plain(*it);
}

int call_and_print(const session& with, std::string_view verb, const json& arguments,
                   const std::function<void(const json&)>& text) {
  auto answer = with.admin(verb, arguments);
  if (!answer)
    return with.complain(answer.error());
  with.print(*answer, text);
  return exit_fine;
}

void print_fields(const json& object) {
  std::size_t width = 0;
  for (const auto& [name, _] : object.items())
    width = std::max(width, name.size());
  for (const auto& [name, value] : object.items()) {
    if (value.is_array() && !value.empty() && value.front().is_object()) {
      fmt::print("{}\n", name);
      for (const auto& item : value)
        fmt::print("  {}\n", item.dump());
    } else {
      fmt::print("{:<{}}  {}\n", name, width, plain(value));
    }
  }
}

void print_table(const std::vector<std::vector<std::string>>& rows) {
  // Width in code points, which is near enough for what stands in our tables.
  auto width_of = [](const std::string& text) {
    return static_cast<std::size_t>(
        std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
  };
  std::vector<std::size_t> widths;
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (widths.size() <= i)
        widths.push_back(0);
      widths[i] = std::max(widths[i], width_of(row[i]));
    }
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size())
        line += std::string(widths[i] - width_of(row[i]) + 2, ' ');
    }
    fmt::print("{}\n", line);
  }
}

bool is_terminal(int fd) {
  return ::isatty(fd) == 1;
}

} // namespace candor::ctl
