#include "tools/candor-bench/match/match_folder.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <functional>
#include <unordered_map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "tools/candor-bench/match/expression_text.hpp"

namespace candor::bench {

using namespace ad_matching::index;

namespace {

std::string_view trimmed(std::string_view text) {
  auto space = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && space(text.front()))
    text.remove_prefix(1);
  while (!text.empty() && space(text.back()))
    text.remove_suffix(1);
  return text;
}

/// The last of `parts` takes the rest.
std::vector<std::string_view> split(std::string_view text, char by, std::size_t parts = SIZE_MAX) {
  std::vector<std::string_view> made;
  for (;;) {
    auto end = made.size() + 1 < parts ? text.find(by) : std::string_view::npos;
    made.push_back(trimmed(text.substr(0, end)));
    if (end == std::string_view::npos)
      return made;
    text.remove_prefix(end + 1);
  }
}

template <class Number>
result<Number> number(std::string_view text, std::string_view what) {
  Number n{};
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (text.empty() || ec != std::errc{} || end != text.data() + text.size())
    return fail(errc::malformed, fmt::format("{} `{}` is not a number within bounds", what, text));
  return n;
}

/// Calls `each` for every line that is not empty; its errors get file and line.
result<void> for_lines(const std::filesystem::path& path,
                       const std::function<result<void>(std::string_view)>& each) {
  std::ifstream in{path};
  if (!in)
    return fail(errc::io_failed, fmt::format("{} cannot be read", path.string()));
  std::string line;
  for (std::size_t n = 1; std::getline(in, line); ++n)
    if (!trimmed(line).empty())
      if (auto done = each(line); !done)
        return fail(errc::malformed,
                    fmt::format("{}, line {}: {}", path.string(), n, done.error().detail));
  return {};
}

result<attribute> read_attribute(std::string_view line) {
  auto fields = split(line, '|');
  if (fields.size() < 2 || fields[0].empty())
    return fail(errc::malformed, "expected name|type|false|min|max");
  attribute made{std::string{fields[0]}};
  if (fields[1] == "integer")
    made.kind = value_kind::number;
  else if (fields[1] == "boolean")
    made.kind = value_kind::flag;
  else if (fields[1] == "integer list")
    made.kind = value_kind::list;
  else
    return fail(errc::malformed,
                fmt::format("the type `{}` is not integer, boolean or integer list", fields[1]));
  return made;
}

result<std::vector<weighted_topic>> read_topics(std::string_view text) {
  std::vector<weighted_topic> made;
  if (text.empty() || text == "-")
    return made;
  for (auto part : split(text, ',')) {
    if (part.empty())
      continue;
    auto fields = split(part, ':');
    if (fields.size() != 2)
      return fail(errc::malformed, fmt::format("`{}` is not topic:weight", part));
    CANDOR_TRY(topic, number<std::uint32_t>(fields[0], "the topic"));
    CANDOR_TRY(weight, number<std::uint8_t>(fields[1], "the weight"));
    made.push_back({topic, weight});
  }
  return made;
}

result<campaign> read_campaign(std::string_view line, const wish_reader& wishes) {
  auto fields = split(line, '\t', 6);
  if (fields.size() < 5)
    return fail(errc::malformed, "expected id, bid, quality, daily budget, topics and expression, "
                                 "with a tab between them");
  campaign made;
  CANDOR_TRY(id, number<std::uint64_t>(fields[0], "the id"));
  CANDOR_TRY(bid, number<std::int64_t>(fields[1], "the bid"));
  CANDOR_TRY(quality, number<std::uint8_t>(fields[2], "the quality"));
  if (bid < 0 || bid > bid_most)
    return fail(errc::malformed, fmt::format("the bid {} is not within 0 and {}", bid, bid_most));
  if (quality == 0)
    return fail(errc::malformed, "the quality is not within 1 and 255");
  CANDOR_TRY(topics, read_topics(fields[4]));
  made.id = id;
  made.bid_micros = bid;
  made.quality = quality;
  made.relevance = std::move(topics);
  if (fields.size() == 6) {
    auto wish = wishes.read(fields[5]);
    if (!wish)
      return fail(errc::malformed, "expression, " + wish.error().detail);
    made.wish = std::move(*wish);
  }
  return made;
}

/// Integers, also as `true`, 3.0 or "3"; nothing of null.
result<std::optional<std::int64_t>> read_value(const nlohmann::json& j, const std::string& name) {
  auto bounded = [&](std::int64_t v) -> result<std::optional<std::int64_t>> {
    if (v < value_least || v > value_most)
      return fail(errc::malformed, fmt::format("{} is too large", name));
    return std::optional{v};
  };
  if (j.is_null())
    return std::optional<std::int64_t>{};
  if (j.is_boolean())
    return bounded(j.get<bool>());
  if (j.is_number_unsigned() && j.get<std::uint64_t>() > static_cast<std::uint64_t>(value_most))
    return fail(errc::malformed, fmt::format("{} is too large", name));
  if (j.is_number_integer())
    return bounded(j.get<std::int64_t>());
  if (j.is_number_float() && std::abs(j.get<double>()) < 9e15 &&
      j.get<double>() == static_cast<double>(static_cast<std::int64_t>(j.get<double>())))
    return bounded(static_cast<std::int64_t>(j.get<double>()));
  if (j.is_string()) {
    CANDOR_TRY(n, number<std::int64_t>(trimmed(j.get_ref<const std::string&>()), name));
    return bounded(n);
  }
  return fail(errc::malformed, fmt::format("{} is not an integer", name));
}

result<match_event> read_event(std::string_view line, const schema& attributes) {
  auto fields = split(line, '\t', 4);
  if (fields.size() != 4)
    return fail(errc::malformed, "expected id, interests, capped campaigns and a JSON object, with "
                                 "a tab between them");
  match_event made;
  made.id = fields[0];
  auto& asked = made.request;
  CANDOR_TRY(interests, read_topics(fields[1]));
  for (auto t : interests) {
    // A topic that is there twice counts once: the last.
    std::erase_if(asked.interests, [&](const auto& x) { return x.topic == t.topic; });
    asked.interests.push_back(t);
  }
  if (!fields[2].empty() && fields[2] != "-")
    for (auto part : split(fields[2], ',')) {
      if (part.empty())
        continue;
      CANDOR_TRY(id, number<std::uint64_t>(part, "the capped campaign"));
      asked.left_out.push_back(id);
    }
  std::ranges::sort(asked.left_out);
  auto said = nlohmann::json::parse(fields[3], nullptr, false);
  if (!said.is_object())
    return fail(errc::malformed, "the last field is not a JSON object");
  asked.numbers.resize(attributes.size());
  asked.lists.resize(attributes.size());
  for (std::size_t a = 0; a < attributes.size(); ++a) {
    const auto& [name, kind] = attributes[a];
    auto it = said.find(name);
    if (it == said.end() || it->is_null())
      continue;
    if (kind != value_kind::list) {
      CANDOR_TRY(value, read_value(*it, name));
      asked.numbers[a] = value;
      if (value && kind == value_kind::flag)
        asked.numbers[a] = *value != 0;
      continue;
    }
    auto items = it->is_array() ? *it : nlohmann::json::array({*it});
    for (const auto& item : items) {
      CANDOR_TRY(value, read_value(item, name));
      if (value)
        asked.lists[a].push_back(*value);
    }
  }
  return made;
}

result<std::optional<match_operation>>
read_operation(std::string_view line, const std::unordered_map<std::string, std::size_t>& events) {
  std::vector<std::string_view> words;
  for (auto& c : std::vector<char>{'\t', ' '})
    if (words.empty() || words.size() == 1) {
      words.clear();
      for (auto w : split(trimmed(line), c))
        if (!w.empty())
          words.push_back(w);
    }
  using what = match_change;
  static constexpr std::pair<std::string_view, what> letters[] = {
      {"P", what::pause}, {"R", what::resume}, {"B", what::bid},
      {"A", what::add},   {"D", what::remove}, {"Q", what::query}};
  const auto* it = std::ranges::find(letters, words[0], &std::pair<std::string_view, what>::first);
  if (it == std::end(letters))
    return fail(errc::malformed, fmt::format("`{}` is none of P, R, B, A, D and Q", words[0]));
  match_operation made;
  made.what = it->second;
  if (words.size() != (made.what == what::bid ? 3 : 2))
    return fail(errc::malformed, fmt::format("{} has {} fields too {}", words[0], words.size() - 1,
                                             words.size() < 3 ? "few" : "many"));
  if (made.what == match_change::query) {
    auto found = events.find(std::string{words[1]});
    if (found == events.end())
      return std::optional<match_operation>{};
    made.event = found->second;
    return std::optional{made};
  }
  CANDOR_TRY(id, number<std::uint64_t>(words[1], "the id"));
  made.id = id;
  if (made.what == what::bid) {
    CANDOR_TRY(bid, number<std::int64_t>(words[2], "the bid"));
    if (bid < 0 || bid > bid_most)
      return fail(errc::malformed, fmt::format("the bid {} is not within 0 and {}", bid, bid_most));
    made.bid_micros = bid;
  }
  return std::optional{made};
}

} // namespace

result<match_folder> read_match_folder(const std::filesystem::path& folder, bool with_operations) {
  match_folder made;
  CANDOR_TRY_VOID(for_lines(folder / "schema.txt", [&](std::string_view line) -> result<void> {
    CANDOR_TRY(a, read_attribute(line));
    if (std::ranges::find(made.schema, a.name, &attribute::name) != made.schema.end())
      return fail(errc::malformed, fmt::format("{} is there twice", a.name));
    if (made.schema.size() == attributes_max)
      return fail(errc::malformed,
                  fmt::format("a schema has at most {} attributes", attributes_max));
    made.schema.push_back(std::move(a));
    return {};
  }));
  wish_reader wishes{made.schema};
  CANDOR_TRY_VOID(for_lines(folder / "campaigns.tsv", [&](std::string_view line) -> result<void> {
    CANDOR_TRY(c, read_campaign(line, wishes));
    made.campaigns.push_back(std::move(c));
    return {};
  }));
  std::ranges::stable_sort(made.campaigns, {}, &campaign::id);
  auto twice = std::ranges::adjacent_find(made.campaigns, {}, &campaign::id);
  if (twice != made.campaigns.end())
    return fail(errc::malformed, fmt::format("{}: campaign {} is there twice",
                                             (folder / "campaigns.tsv").string(), twice->id));
  std::unordered_map<std::string, std::size_t> by_id;
  CANDOR_TRY_VOID(for_lines(folder / "events.tsv", [&](std::string_view line) -> result<void> {
    CANDOR_TRY(e, read_event(line, made.schema));
    by_id.emplace(e.id, made.events.size());
    made.events.push_back(std::move(e));
    return {};
  }));
  if (with_operations)
    CANDOR_TRY_VOID(for_lines(folder / "ops.tsv", [&](std::string_view line) -> result<void> {
      CANDOR_TRY(o, read_operation(line, by_id));
      if (o)
        made.operations.push_back(*o);
      return {};
    }));
  return made;
}

} // namespace candor::bench
