#include "tools/candor-train/corpus.hpp"

#include <algorithm>
#include <fstream>

#include <fmt/format.h>
#include <sodium.h>

#include "storage/base/ids.hpp"
#include "storage/base/limits.hpp"
#include "tools/candor-train/invent.hpp"

namespace candor::train {

namespace {

namespace fs = std::filesystem;

/// Sorted, so that every file system gives the same.
result<std::vector<fs::path>> text_files(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code ec;
  fs::directory_iterator entries{folder, ec};
  if (ec == std::errc::no_such_file_or_directory)
    return found;
  for (; !ec && entries != fs::directory_iterator{}; entries.increment(ec))
    if (entries->path().extension() == ".txt")
      found.push_back(entries->path());
  if (ec)
    return fail(errc::config_invalid, folder.string() + ": " + ec.message());
  std::ranges::sort(found);
  return found;
}

std::string_view trimmed(std::string_view text) {
  constexpr auto spaces = " \t\r";
  auto begin = text.find_first_not_of(spaces);
  if (begin == std::string_view::npos)
    return {};
  return text.substr(begin, text.find_last_not_of(spaces) - begin + 1);
}

class reader {
public:
  explicit reader(fs::path folder)
    : folder_{std::move(folder)} {
    crypto_generichash_init(&hash_, nullptr, 0, 16);
  }

  result<corpus> read() {
    std::error_code ec;
    if (!fs::is_directory(folder_, ec))
      return fail(errc::config_invalid, folder_.string() + ": there is no corpus here");
    using what = sentence_template::what;
    CANDOR_TRY_VOID(read_slots());
    CANDOR_TRY_VOID(read_templates("sensitive", what::sensitive));
    CANDOR_TRY_VOID(read_templates("hard_negatives", what::hard_negative));
    CANDOR_TRY_VOID(read_templates("interests", what::interest));
    CANDOR_TRY_VOID(read_templates("everyday", what::everyday));
    unsigned char digest[16];
    crypto_generichash_final(&hash_, digest, sizeof digest);
    found_.version = to_hex({reinterpret_cast<const char*>(digest), sizeof digest});
    return std::move(found_);
  }

private:
  /// Lines that say something, with their number.
  template <class Take>
  result<void> each_line(const fs::path& file, Take&& take) {
    std::ifstream from{file, std::ios::binary};
    if (!from)
      return fail(errc::config_invalid, file.string() + ": cannot be read");
    std::string text{std::istreambuf_iterator<char>{from}, {}};
    if (text.size() > limits::corpus_file_bytes)
      return fail(errc::config_invalid, file.string() + ": is over 4 MiB");
    auto add = [&](std::string_view bytes) {
      crypto_generichash_update(&hash_, reinterpret_cast<const unsigned char*>(bytes.data()),
                                bytes.size());
    };
    add(fs::relative(file, folder_).generic_string());
    add(text);
    std::size_t number = 0;
    for (std::string_view left = text; !left.empty();) {
      auto line = left.substr(0, left.find('\n'));
      left.remove_prefix(std::min(left.size(), line.size() + 1));
      ++number;
      line = trimmed(line);
      if (line.empty() || line.front() == '#')
        continue;
      auto done = valid_utf8(line) ? take(line) : fail(errc::config_invalid, "is not valid UTF-8");
      if (!done)
        return fail(errc::config_invalid,
                    fmt::format("{}:{}: {}", file.string(), number, done.error().detail));
    }
    return {};
  }

  result<void> read_slots() {
    CANDOR_TRY(files, text_files(folder_ / "slots"));
    for (const auto& file : files) {
      auto& slots = found_.slots[file.stem().string()];
      std::vector<std::string>* values = nullptr;
      CANDOR_TRY_VOID(each_line(file, [&](std::string_view line) -> result<void> {
        if (line.front() == '[' && line.back() == ']') {
          values = &slots[std::string{line.substr(1, line.size() - 2)}];
          return {};
        }
        if (!values)
          return fail(errc::config_invalid, "a value stands under a [slot]");
        values->emplace_back(line);
        return {};
      }));
    }
    return {};
  }

  result<void> read_templates(const char* kind, sentence_template::what teaches) {
    CANDOR_TRY(files, text_files(folder_ / kind));
    using what = sentence_template::what;
    using how = sentence_template::how;
    for (const auto& file : files) {
      sentence_template t;
      t.teaches = teaches;
      auto stem = file.stem().string(); // "health.en"
      auto dot = stem.rfind('.');
      auto subject = dot == std::string::npos ? std::string{} : stem.substr(0, dot);
      t.lang = dot == std::string::npos ? stem : stem.substr(dot + 1);
      auto broken = [&](const char* why) {
        return fail(errc::config_invalid, file.string() + ": " + why);
      };
      if (teaches == what::sensitive || teaches == what::hard_negative) {
        t.category = model::find_category(subject);
        if (!t.category || *t.category == model::category::unknown)
          return broken("is not called CATEGORY.LANG.txt");
      } else if (teaches == what::interest) {
        auto topic = model::find_topic(subject);
        if (!topic)
          return broken("is not called TOPIC.LANG.txt");
        t.topic = *topic;
      }
      CANDOR_TRY_VOID(each_line(file, [&](std::string_view line) -> result<void> {
        if (line == "[plain]" || line == "[implied]" || line == "[mixed]") {
          t.said = line == "[plain]" ? how::plain : line == "[mixed]" ? how::mixed : how::implied;
          return {};
        }
        t.text = line;
        CANDOR_TRY_VOID(check(t));
        found_.templates.push_back(t);
        return {};
      }));
    }
    return {};
  }

  result<void> check(const sentence_template& t) {
    std::string_view left = t.text;
    for (auto open = left.find('{'); open != std::string_view::npos; open = left.find('{')) {
      auto close = left.find('}', open);
      if (close == std::string_view::npos)
        return fail(errc::config_invalid, "a { is not closed");
      auto inner = left.substr(open + 1, close - open - 1);
      if (inner.find('{') != std::string_view::npos)
        return fail(errc::config_invalid, "a { stands within another");
      if (inner.find('|') == std::string_view::npos && inner != invented_slot) {
        auto slots = found_.slots.find(t.lang);
        if (slots == found_.slots.end() || !slots->second.contains(std::string{inner}) ||
            slots->second.at(std::string{inner}).empty())
          return fail(errc::config_invalid, fmt::format("there is no slot {}", inner));
      }
      left.remove_prefix(close + 1);
    }
    return {};
  }

  fs::path folder_;
  corpus found_;
  crypto_generichash_state hash_;
};

} // namespace

result<corpus> read_corpus(const fs::path& folder) {
  return reader{folder}.read();
}

std::string expand(const corpus& c, const sentence_template& t, rng& chance) {
  std::string made;
  for (std::string_view left = t.text; !left.empty();) {
    auto open = left.find('{');
    made += left.substr(0, open);
    if (open == std::string_view::npos)
      break;
    auto close = left.find('}', open);
    auto inner = left.substr(open + 1, close - open - 1);
    left.remove_prefix(close + 1);
    if (inner == invented_slot) {
      made += invented_word(t.lang, chance);
      continue;
    }
    if (inner.find('|') == std::string_view::npos) {
      const auto& values = c.slots.at(t.lang).at(std::string{inner});
      made += values[chance.next() % values.size()];
      continue;
    }
    std::vector<std::string_view> alternatives;
    for (;;) {
      auto bar = inner.find('|');
      alternatives.push_back(inner.substr(0, bar));
      if (bar == std::string_view::npos)
        break;
      inner.remove_prefix(bar + 1);
    }
    made += alternatives[chance.next() % alternatives.size()];
  }
  return made;
}

} // namespace candor::train
