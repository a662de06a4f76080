#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <set>

#include "actors/notification/templates.hpp"
#include "storage/base/limits.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace candor;
using namespace candor::notification;
using Catch::Matchers::Contains;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;

namespace {

std::filesystem::path shipped() {
  return std::filesystem::path{CANDOR_SOURCE_DIR} / "configs/notices/ai-interactions";
}

notice_values values() {
  return {"Feed", "https://feed.example/privacy", parse_time("2025-12-16T00:00:00Z").value(),
          "UTC"};
}

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t found = 0;
  for (auto i = text.find(what); i != text.npos; i = text.find(what, i + what.size()))
    ++found;
  return found;
}

/// A copy of the shipped folder in which one file may be spoiled.
class copied_folder {
public:
  copied_folder() { std::filesystem::copy(shipped(), folder_ / "notice"); }

  void write(const std::string& file, const std::string& text) {
    std::ofstream{path() / file, std::ios::binary} << text;
  }
  std::filesystem::path path() const { return folder_ / "notice"; }

  std::string refusal() const {
    auto loaded = template_set::load(path());
    REQUIRE_FALSE(loaded);
    CHECK(loaded.error().code == errc::config_invalid);
    return loaded.error().detail;
  }

private:
  test::temporary_folder folder_;
};

std::string good_file() {
  return "subject = \"{app}\"\ntitle = \"{effective_date}\"\n"
         "text = '''\n{app} {effective_date}\n{link}\n'''\n"
         "html = '''\n<p>{app} {effective_date} <a href=\"{link}\">x</a></p>\n'''\n";
}

} // namespace

TEST_CASE("the shipped notice is complete in eight languages", "[notification]") {
  auto set = template_set::load(shipped());
  if (!set)
    FAIL(set.error().detail);
  std::set<std::string> texts;
  for (auto lang : languages) {
    CAPTURE(lang);
    auto made = set->render(lang, values());
    REQUIRE(made);
    CHECK(made->lang == lang);
    for (auto* part : {&made->subject, &made->title, &made->text, &made->html}) {
      CHECK(part->find_first_of("{}") == std::string::npos);
      CHECK(texts.insert(*part).second); // no language is a copy of another
    }
    auto date = written_date(values().effective_at, "UTC", lang).value();
    CHECK_THAT(made->text,
               Contains("Feed") && Contains(date) && Contains("https://feed.example/privacy"));
    CHECK_THAT(made->html, Contains("Feed") && Contains("<strong>" + date + "</strong>") &&
                               Contains("<a href=\"https://feed.example/privacy\">"));
    // The same outline everywhere: five sections, two things never used, four things to do.
    CHECK(count(made->html, "<h2>") == 5);
    CHECK(count(made->html, "</h2>") == 5);
    CHECK(count(made->html, "<li>") == 6);
    CHECK(count(made->html, "<p>") == count(made->html, "</p>"));
    CHECK(count(made->html, "<ul>") == 2);
    CHECK(count(made->text, "\n- ") == 6);
    CHECK(count(made->subject, "\n") + count(made->title, "\n") == 0);
  }
}

TEST_CASE("the plain text and the HTML of every language say the same", "[notification]") {
  auto set = template_set::load(shipped()).value();
  for (auto lang : languages) {
    CAPTURE(lang);
    auto made = set.render(lang, values()).value();
    auto words = [](std::string text) {
      // Without tags, list marks and white space; quotes are typographic in the HTML.
      std::string left;
      auto in_tag = false;
      for (auto c : text) {
        in_tag = c == '<' || (in_tag && c != '>');
        if (!in_tag && c != '>' && c != ' ' && c != '\n' && c != '-' && c != '"' && c != '\'')
          left += c;
      }
      for (auto* quote : {"\u201c", "\u201d", "\u2019"})
        for (auto i = left.find(quote); i != left.npos; i = left.find(quote))
          left.erase(i, 3);
      return left;
    };
    CHECK(words(made.html) == words(made.text));
  }
}

TEST_CASE("a date is written as each language writes it", "[notification]") {
  auto t = values().effective_at;
  CHECK(written_date(t, "UTC", "en") == "December 16, 2025");
  CHECK(written_date(t, "UTC", "es") == "16 de diciembre de 2025");
  CHECK(written_date(t, "UTC", "pt") == "16 de dezembro de 2025");
  CHECK(written_date(t, "UTC", "fr") == "16 décembre 2025");
  CHECK(written_date(t, "UTC", "de") == "16. Dezember 2025");
  CHECK(written_date(t, "UTC", "ja") == "2025年12月16日");
  CHECK(written_date(t, "UTC", "ko") == "2025년 12월 16일");
  CHECK(written_date(t, "UTC", "hi") == "16 दिसंबर 2025");
}

TEST_CASE("a date is the day of the person's own calendar", "[notification]") {
  auto t = values().effective_at;
  CHECK(written_date(t, "America/New_York", "en") == "December 15, 2025");
  CHECK(written_date(t, "Asia/Tokyo", "en") == "December 16, 2025");
  CHECK(written_date(t, "Mars/Olympus", "en") == "December 16, 2025");
  CHECK(written_date(t, "", "en") == "December 16, 2025");
}

TEST_CASE("the best language is the tag, shortened from its end, then English", "[notification]") {
  struct row {
    const char *tag, *lang;
  };
  auto [tag, lang] = GENERATE(values<row>({{"en", "en"},
                                           {"pt-BR", "pt"},
                                           {"PT-br", "pt"},
                                           {"pt_BR", "pt"},
                                           {"de-CH-1996", "de"},
                                           {"ja-Jpan-JP-x-foo", "ja"},
                                           {"hi-Latn-IN", "hi"},
                                           {"ko-KR", "ko"},
                                           {"es-419", "es"},
                                           {"fr", "fr"},
                                           {"eng", "en"},
                                           {"fro", "en"}, // Old French is not French
                                           {"nl-BE", "en"},
                                           {"", "en"},
                                           {"-", "en"},
                                           {"../de", "en"},
                                           {"\r\nde", "en"}}));
  CAPTURE(tag);
  CHECK(template_set::best_language(tag) == lang);
}

TEST_CASE("values are escaped in HTML and stay as they are in text", "[notification]") {
  auto set = template_set::load(shipped()).value();
  auto given = values();
  given.app = "<b>Tom & \"Jerry\"</b>'s {link}";
  given.link = "https://feed.example/?a=1&b=\"><script>alert(1)</script>";
  for (auto lang : languages) {
    CAPTURE(lang);
    auto made = set.render(lang, given).value();
    CHECK_THAT(made.text, Contains(given.app) && Contains(given.link));
    CHECK_THAT(made.subject, StartsWith(given.app)); // braces in a value are only braces
    CHECK_THAT(made.html, Contains("&lt;b&gt;Tom &amp; &quot;Jerry&quot;&lt;/b&gt;&#39;s {link}"));
    CHECK_THAT(made.html, Contains("?a=1&amp;b=&quot;&gt;&lt;script&gt;"));
    CHECK(made.html.find("<script") == std::string::npos);
    CHECK(made.html.find("<b>") == std::string::npos);
    CHECK(made.html.find("\"><") == std::string::npos);
  }
}

TEST_CASE("a value that could mislead is refused", "[notification]") {
  auto set = template_set::load(shipped()).value();
  for (auto link : {"", "https://", "javascript:alert(1)", "HTTPS://x", "//feed.example",
                    "https://feed.example/a b", "https://feed.example/\r\nBcc: x@y",
                    "data:text/html,x", "https://feed.example/\xc3\xa9"}) {
    CAPTURE(link);
    auto given = values();
    given.link = link;
    auto made = set.render("en", given);
    REQUIRE_FALSE(made);
    CHECK(made.error().code == errc::bad_value);
  }
  for (auto& app : {std::string{}, std::string{"a\r\nBcc: x@y"}, std::string{"a\0b", 3},
                    std::string{"\xff"}, std::string(limits::app_bytes + 1, 'a')}) {
    CAPTURE(app);
    auto given = values();
    given.app = app;
    auto made = set.render("en", given);
    REQUIRE_FALSE(made);
    CHECK(made.error().code == errc::bad_value);
  }
}

TEST_CASE("a language that is missing is refused by its file's name", "[notification]") {
  for (auto lang : languages) {
    copied_folder folder;
    auto file = folder.path() / (std::string{lang} + ".toml");
    std::filesystem::remove(file);
    CHECK(folder.refusal() == file.string() + ": cannot be read");
  }
  CHECK_FALSE(template_set::load("/nowhere/at/all"));
}

TEST_CASE("a file that is not right is refused with its line", "[notification]") {
  struct row {
    std::string text, place, says;
  };
  auto without = [](std::string line) {
    auto text = good_file();
    text.erase(text.find(line), line.size());
    return text;
  };
  auto with = [](std::string from, std::string to) {
    auto text = good_file();
    return text.replace(text.find(from), from.size(), to);
  };
  std::vector<row> rows{
      {without("subject = \"{app}\"\n"), ":1:1: ", "subject is missing"},
      {without("title = \"{effective_date}\"\n"), ":1:1: ", "title is missing"},
      {good_file() + "footer = \"x\"\n", ":10:1: ", "the key \"footer\" is not known"},
      {with("\"{app}\"", "7"), ":1:11: ", "must be a quoted string"},
      {with("\"{app}\"", "\"\""), ":1:11: ", "must not be empty"},
      {with("\"{app}\"", "\"a\\nb\""), ":1:11: ", "one line"},
      {with("\"{app}\"", "\"a\\r\\nBcc: x\""), ":1:11: ", "one line"},
      {with("\"{app}\"", "\"" + std::string(401, 'a') + "\""), ":1:11: ", "one line"},
      {with("\"{app}\"", "\"see {link}\""), ":1:16: ", "must not have {link}"},
      {with("{app} {effective_date}\n{link}", "{app} {effective_date}\n{links}"),
       ":5:1: ", "may have in braces only"},
      {with("{app} {effective_date}\n{link}", "{app} {effective_date}\n{link} {name}"),
       ":5:8: ", "may have in braces only"},
      {with("{app} {effective_date}\n{link}", "{app}} {effective_date}\n{link}"),
       ":4:6: ", "may have in braces only"},
      {with("{app} {effective_date}\n{link}", "{app} {effective_date}\n{link} {"),
       ":5:8: ", "may have in braces only"},
      {with("{app} {effective_date}\n{link}", "{app} {effective_date}\n"),
       ":3:8: ", "must have {link}"},
      {with("<p>{app} {effective_date}", "<p>{app}"), ":7:8: ", "must have {effective_date}"},
      {"subject = \"x", ":1:", ""},
      {std::string(70'000, '#'), ":1:1: ", "at most 65536 are read"},
      {"# \xff\n" + good_file(), ":1:1: ", "not valid UTF-8"},
      {"", "", "is empty"},
  };
  for (const auto& [text, place, says] : rows) {
    copied_folder folder;
    folder.write("fr.toml", text);
    CAPTURE(text.substr(0, 200));
    CHECK_THAT(folder.refusal(),
               StartsWith((folder.path() / "fr.toml").string() + place) && Contains(says));
  }
  copied_folder folder;
  folder.write("fr.toml", good_file());
  auto loaded = template_set::load(folder.path());
  if (!loaded)
    FAIL(loaded.error().detail);
  CHECK(loaded->render("fr", values())->subject == "Feed");
}
