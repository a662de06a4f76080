#include "actors/topic_filter/lexicon.hpp"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <functional>
#include <system_error>

#include <fmt/format.h>
#include <sodium.h>

#include "actors/topic_filter/normalizer.hpp"
#include "storage/base/ids.hpp"
#include "storage/base/limits.hpp"

namespace candor::topic_filter {

namespace {

std::string_view trimmed(std::string_view text) {
  auto is_space = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!text.empty() && is_space(text.front()))
    text.remove_prefix(1);
  while (!text.empty() && is_space(text.back()))
    text.remove_suffix(1);
  return text;
}

std::vector<std::string_view> split(std::string_view text, char by) {
  std::vector<std::string_view> parts;
  for (;;) {
    auto at = text.find(by);
    parts.push_back(trimmed(text.substr(0, at)));
    if (at == std::string_view::npos)
      return parts;
    text.remove_prefix(at + 1);
  }
}

result<term> parse_term(std::string_view text) {
  term t;
  if (text.ends_with('*')) {
    t.stem = true;
    text.remove_suffix(1);
  }
  if (text.find('*') != std::string_view::npos)
    return fail(errc::config_invalid, "a star stands at the end of a term only");
  // Such a term would never be found: most likely it stands in the wrong section or file.
  if (text.find_first_of("~|=[]:") != std::string_view::npos)
    return fail(errc::config_invalid, "a term holds none of ~ | = [ ] :");
  view normal;
  CANDOR_TRY_VOID(normalize(text, normal));
  if (std::ranges::all_of(normal.kind, [](byte_kind k) { return k == byte_kind::apart; }))
    return fail(errc::config_invalid, "a term has at least one letter");
  if (normal.text.size() > limits::term_bytes)
    return fail(errc::config_invalid, "a term has at most 200 bytes");
  t.text = std::move(normal.text);
  return t;
}

using line_reader = std::function<result<void>(std::string_view line)>;

/// "health.en.txt" -> "health", "en". Exceptions: "exceptions", "en".
struct file_name {
  std::string subject, lang;
};

std::optional<file_name> parse_name(const std::filesystem::path& path) {
  auto name = path.filename().string();
  auto parts = split(name, '.');
  auto is_tag = [](std::string_view tag) {
    auto primary = tag.substr(0, tag.find('-'));
    return (primary.size() == 2 || primary.size() == 3) && !tag.ends_with('-') &&
           std::ranges::all_of(primary, [](char c) { return c >= 'a' && c <= 'z'; }) &&
           std::ranges::all_of(tag, [](unsigned char c) { return std::isalnum(c) || c == '-'; });
  };
  if (parts.size() != 3 || parts[2] != "txt" || parts[0].empty() || !is_tag(parts[1]))
    return std::nullopt;
  return file_name{std::string{parts[0]}, std::string{parts[1]}};
}

class reader {
public:
  explicit reader(std::filesystem::path folder)
    : folder_{std::move(folder)} {
    crypto_generichash_init(&hash_, nullptr, 0, 16);
  }

  result<lexicon> read() {
    std::error_code ec;
    if (!std::filesystem::is_directory(folder_, ec))
      return fail(errc::config_invalid, folder_.string() + ": there is no lexicon here");
    CANDOR_TRY_VOID(read_folder(folder_ / "sensitive", &reader::sensitive));
    CANDOR_TRY_VOID(read_folder(folder_ / "topics", &reader::topic));
    CANDOR_TRY_VOID(read_folder(folder_, &reader::exception));
    if (found_.sensitive.empty())
      return fail(errc::config_invalid, folder_.string() + ": the lexicon has no sensitive term");
    std::array<unsigned char, 16> digest;
    crypto_generichash_final(&hash_, digest.data(), digest.size());
    found_.version = to_hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
    return std::move(found_);
  }

private:
  using file_reader = result<line_reader> (reader::*)(const file_name&);

  result<void> read_folder(const std::filesystem::path& folder, file_reader open) {
    std::vector<std::filesystem::path> files;
    std::error_code ec;
    std::filesystem::directory_iterator entries{folder, ec};
    if (ec == std::errc::no_such_file_or_directory)
      return {};
    for (; !ec && entries != std::filesystem::directory_iterator{}; entries.increment(ec)) {
      const auto& path = entries->path();
      // A file that is passed over is a category that is not withheld.
      if (path.filename() == "README.md")
        continue;
      if (folder == folder_ && (path.filename() == "sensitive" || path.filename() == "topics"))
        continue;
      std::error_code not_readable;
      if (path.extension() != ".txt" || !entries->is_regular_file(not_readable))
        return fail(errc::config_invalid, path.string() + ": a file is called SUBJECT.LANG.txt");
      files.push_back(path);
    }
    if (ec)
      return fail(errc::config_invalid, folder.string() + ": " + ec.message());
    std::ranges::sort(files); // the same lexicon on every file system
    for (const auto& path : files)
      CANDOR_TRY_VOID(read_file(path, open));
    return {};
  }

  result<void> read_file(const std::filesystem::path& path, file_reader open) {
    auto name = parse_name(path);
    if (!name)
      return fail(errc::config_invalid, path.string() + ": a file is called SUBJECT.LANG.txt");
    std::error_code ec;
    auto size = std::filesystem::file_size(path, ec);
    if (ec || size > limits::lexicon_file_bytes)
      return fail(errc::config_invalid, path.string() + ": cannot be read, or is over 4 MiB");
    std::string text(size, '\0');
    std::ifstream from{path, std::ios::binary};
    if (!from.read(text.data(), static_cast<std::streamsize>(size)))
      return fail(errc::config_invalid, path.string() + ": cannot be read");
    auto add = [&](std::string_view bytes) {
      crypto_generichash_update(&hash_, reinterpret_cast<const unsigned char*>(bytes.data()),
                                bytes.size());
    };
    add(path.filename().string());
    add(text);
    auto line_of = (this->*open)(*name);
    if (!line_of)
      return fail(errc::config_invalid, path.string() + ": " + line_of.error().detail);
    auto number = 0;
    auto refuse = [&](std::string_view why) {
      return fail(errc::config_invalid, fmt::format("{}:{}: {}", path.string(), number, why));
    };
    auto known = found_.entries();
    for (auto line : split(text, '\n')) {
      ++number;
      if (!valid_utf8(line))
        return refuse("is not valid UTF-8");
      if (line.starts_with("\xEF\xBB\xBF") || std::ranges::any_of(line, [](unsigned char c) {
            return (c < 0x20 && c != '\t') || c == 0x7f;
          }))
        return refuse("holds a byte order mark or a control character");
      if (line.empty() || line.front() == '#')
        continue;
      if (auto done = (*line_of)(line); !done)
        return refuse(done.error().detail.empty() ? "is not valid" : done.error().detail);
    }
    if (found_.entries() == known)
      return refuse("the file ends and holds no term");
    return {};
  }

  result<line_reader> sensitive(const file_name& name) {
    auto category = model::find_category(name.subject);
    if (!category || *category == model::category::unknown)
      return fail(errc::config_invalid, name.subject + " is not a sensitive category");
    return [this, name, category = *category,
            section = std::optional<tier>{}](std::string_view line) mutable -> result<void> {
      if (line.front() == '[') {
        section = line == "[hard]"    ? std::optional{tier::hard}
                  : line == "[soft]"  ? std::optional{tier::soft}
                  : line == "[bound]" ? std::optional{tier::bound}
                                      : std::nullopt;
        if (!section)
          return fail(errc::config_invalid, "a section is [hard], [soft] or [bound]");
        return {};
      }
      if (!section)
        return fail(errc::config_invalid, "a term stands under [hard], [soft] or [bound]");
      sensitive_term t{{}, category, *section, name.lang, {}};
      if (*section == tier::bound) {
        auto parts = split(line, '~');
        if (parts.size() != 2 || parts[1].empty())
          return fail(errc::config_invalid, "a bound term is `term ~ neighbour | neighbour`");
        for (auto neighbour : split(parts[1], '|')) {
          CANDOR_TRY(parsed, parse_term(neighbour));
          t.neighbours.push_back(std::move(parsed));
        }
        line = parts[0];
      }
      CANDOR_TRY(parsed, parse_term(line));
      t.term = std::move(parsed);
      found_.sensitive.push_back(std::move(t));
      return {};
    };
  }

  result<line_reader> topic(const file_name& name) {
    auto topic = model::find_topic(name.subject);
    if (!topic)
      return fail(errc::config_invalid, name.subject + " is not an interest topic");
    return [this, name, topic = *topic](std::string_view line) -> result<void> {
      auto parts = split(line, '=');
      topic_term t{{}, topic, 1, name.lang};
      if (parts.size() > 2 ||
          (parts.size() == 2 && (parts[1].size() != 1 || parts[1][0] < '1' || parts[1][0] > '3')))
        return fail(errc::config_invalid, "a topic's term is `term` or `term = 1..3`");
      if (parts.size() == 2)
        t.weight = static_cast<std::uint32_t>(parts[1][0] - '0');
      CANDOR_TRY(parsed, parse_term(parts[0]));
      t.term = std::move(parsed);
      found_.topics.push_back(std::move(t));
      return {};
    };
  }

  result<line_reader> exception(const file_name& name) {
    if (name.subject != "exceptions")
      return fail(errc::config_invalid, "beside the folders only exceptions.LANG.txt is known");
    return [this, name](std::string_view line) -> result<void> {
      auto colon = line.rfind(':');
      if (colon == std::string_view::npos)
        return fail(errc::config_invalid, "an exception is `phrase : category, category`");
      exception_phrase e{{}, name.lang, {}};
      auto list = trimmed(line.substr(colon + 1));
      if (list != "*")
        for (auto slug : split(list, ',')) {
          auto category = model::find_category(slug);
          if (!category || *category == model::category::unknown)
            return fail(errc::config_invalid, fmt::format("{} is not a sensitive category", slug));
          e.categories.push_back(*category);
        }
      CANDOR_TRY(parsed, parse_term(trimmed(line.substr(0, colon))));
      e.term = std::move(parsed);
      found_.exceptions.push_back(std::move(e));
      return {};
    };
  }

  std::filesystem::path folder_;
  lexicon found_;
  crypto_generichash_state hash_;
};

} // namespace

result<lexicon> load_lexicon(const std::filesystem::path& folder) {
  return reader{folder}.read();
}

} // namespace candor::topic_filter
