#include <catch2/catch.hpp>

#include <nlohmann/json.hpp>

#include "actors/notification/mail.hpp"
#include "actors/notification/templates.hpp"
#include "storage/base/limits.hpp"
#include "tests/unit/notification/python_process.hpp"

using namespace candor;
using namespace candor::notification;
using json = nlohmann::json;

namespace {

sender feed() {
  return {"notices@feed.example", "Feed", "feed.example"};
}

letter plain_letter() {
  return {"n-0123456789ABCDEF",
          "person@example.org",
          "en",
          "A change",
          "one\ntwo\n",
          "<p>one</p>\n",
          parse_time("2025-10-07T09:08:07Z").value()};
}

/// As Python's own parser reads it.
json read(const std::string& message) {
  test::python_process parser{"read_mail.py"};
  parser.feed(message);
  return json::parse(parser.line());
}

std::string refusal(const sender& from, const letter& what) {
  auto made = compose(from, what);
  if (made)
    return "composed";
  CHECK(made.error().code == errc::bad_value);
  return made.error().detail;
}

void check_lines(const std::string& message) {
  std::size_t start = 0;
  while (start < message.size()) {
    auto end = message.find("\r\n", start);
    REQUIRE(end != message.npos);
    auto line = message.substr(start, end - start);
    REQUIRE(line.size() <= 340); // only what has an address or an id may be longer than 78
    REQUIRE(std::ranges::all_of(line, [](char c) { return c >= ' ' && c < 0x7f; }));
    start = end + 2;
  }
}

} // namespace

TEST_CASE("a mail is read back as it was meant", "[notification]") {
  auto made = compose(feed(), plain_letter()).value();
  CHECK(made.from == "notices@feed.example");
  CHECK(made.to == "person@example.org");
  check_lines(made.message);
  auto seen = read(made.message);
  CHECK(seen["defects"].empty());
  CHECK(seen["from"] == json::parse(R"([["Feed", "notices@feed.example"]])"));
  CHECK(seen["to"] == json::parse(R"([["", "person@example.org"]])"));
  CHECK(seen["time"] == "2025-10-07T09:08:07+00:00");
  CHECK(seen["type"] == "multipart/alternative");
  CHECK(seen["headers"]["Date"] == "Tue, 07 Oct 2025 09:08:07 +0000");
  CHECK(seen["headers"]["Subject"] == "A change");
  CHECK(seen["headers"]["Message-ID"] == "<n-0123456789ABCDEF@feed.example>");
  CHECK(seen["headers"]["Content-Language"] == "en");
  CHECK(seen["headers"]["Auto-Submitted"] == "auto-generated");
  CHECK(seen["names"] == json({"Date", "From", "To", "Message-ID", "Subject", "Content-Language",
                               "Auto-Submitted", "MIME-Version", "Content-Type"}));
  REQUIRE(seen["parts"].size() == 2);
  CHECK(seen["parts"][0]["type"] == "text/plain");
  CHECK(seen["parts"][0]["charset"] == "utf-8");
  CHECK(seen["parts"][0]["text"] == "one\r\ntwo\r\n");
  CHECK(seen["parts"][1]["type"] == "text/html");
  CHECK_THAT(seen["parts"][1]["text"].get<std::string>(),
             Catch::Matchers::Contains("<html lang=\"en\">") &&
                 Catch::Matchers::Contains("<body>\r\n<p>one</p>\r\n</body>"));
}

TEST_CASE("the notice of every language survives the way through a mail", "[notification]") {
  auto set = template_set::load(CANDOR_SOURCE_DIR "/configs/notices/ai-interactions");
  REQUIRE(set);
  for (auto lang : languages) {
    CAPTURE(lang);
    auto from = feed();
    from.name = "Plauderecke für 友達 \"& Co\"";
    auto notice = set->render(lang, {from.name, "https://feed.example/privacy?a=1&b=2",
                                     parse_time("2025-12-16T00:00:00Z").value(), "Asia/Tokyo"})
                      .value();
    auto what = plain_letter();
    what.lang = notice.lang;
    what.subject = notice.subject;
    what.text = notice.text;
    what.html = notice.html;
    auto made = compose(from, what).value();
    check_lines(made.message);
    auto seen = read(made.message);
    CHECK(seen["defects"].empty());
    CHECK(seen["headers"]["Subject"] == notice.subject);
    CHECK(seen["from"][0][0] == from.name);
    auto unix_lines = [](std::string text) {
      std::erase(text, '\r');
      return text;
    };
    CHECK(unix_lines(seen["parts"][0]["text"]) == notice.text);
    CHECK_THAT(unix_lines(seen["parts"][1]["text"]), Catch::Matchers::Contains(notice.html));
  }
}

TEST_CASE("the same notice is the same mail to the byte", "[notification]") {
  auto once = compose(feed(), plain_letter()).value().message;
  CHECK(compose(feed(), plain_letter()).value().message == once);
  auto other = plain_letter();
  other.notice_id = "n-0123456789ABCDEG";
  CHECK(compose(feed(), other).value().message != once);
}

TEST_CASE("names and subjects of any shape come through the headers", "[notification]") {
  std::vector<std::string> shapes{
      "plain",
      "with \"quotes\" and \\ backslash",
      "comma, semicolon; <angle> (comment) @ : [x]",
      "=?UTF-8?B?Zm9v?=",
      "é",
      "ends with space ",
      " begins with space",
      "ein sehr langer Name, der über sechzig Zeichen lang ist, wirklich",
      "日本語の名前がとても長い場合にも分けられる",
      "😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀",
      std::string(limits::app_bytes, 'x'),
  };
  for (auto& shape : shapes) {
    CAPTURE(shape);
    auto from = feed();
    from.name = shape.substr(0, limits::app_bytes);
    if (shape.size() > limits::app_bytes)
      from.name = "Feed";
    auto what = plain_letter();
    what.subject = shape;
    auto made = compose(from, what).value();
    check_lines(made.message);
    auto seen = read(made.message);
    CHECK(seen["headers"]["Subject"] == shape);
    CHECK(seen["from"][0][0] == from.name);
    CHECK(seen["from"].size() == 1);
    CHECK(seen["defects"].empty());
  }
}

TEST_CASE("a subject at its limit is folded and comes back whole", "[notification]") {
  auto what = plain_letter();
  what.subject.clear();
  while (what.subject.size() + 3 <= 998)
    what.subject += "語";
  auto made = compose(feed(), what).value();
  for (std::size_t i = 0, end; (end = made.message.find("\r\n", i)) != std::string::npos;
       i = end + 2)
    CHECK(end - i <= 78);
  CHECK(read(made.message)["headers"]["Subject"] == what.subject);
  what.subject += "語";
  CHECK_THAT(refusal(feed(), what), Catch::Matchers::StartsWith("subject "));
}

TEST_CASE("what could add a header, a recipient or a command is refused", "[notification]") {
  std::vector<std::string> tails{"\r\nBcc: victim@example.org",
                                 "\nBcc: victim@example.org",
                                 "\rBcc: victim@example.org",
                                 "\r\n\r\n<script>",
                                 "\r\n.\r\nMAIL FROM:<a@b>",
                                 "\x01",
                                 std::string{"\0", 1},
                                 "\x7f",
                                 "\xc2\x85", // U+0085, a line end to some
                                 "\xff"};
  for (const auto& tail : tails) {
    CAPTURE(tail);
    struct row {
      const char* field;
      std::function<void(sender&, letter&)> spoil;
    };
    for (auto& [field, spoil] : std::vector<row>{
             {"sender.address", [&](auto&from, auto&) { from.address += tail; }},
             {"sender.name", [&](auto&from, auto&) { from.name += tail; }},
             {"sender.domain", [&](auto&from, auto&) { from.domain += tail; }},
             {"notice_id", [&](auto&, auto&what) { what.notice_id += tail; }},
             {"to", [&](auto&, auto&what) { what.to += tail; }},
             {"to", [&](auto&, auto&what) { what.to = tail + what.to; }},
             {"lang", [&](auto&, auto&what) { what.lang += tail; }},
             {"subject", [&](auto&, auto&what) { what.subject += tail; }},
         }) {
      auto from = feed();
      auto what = plain_letter();
      spoil(from, what);
      auto detail = refusal(from, what);
      CHECK_THAT(detail, Catch::Matchers::StartsWith(std::string{field} + " "));
      CHECK(detail.find("example.org") == std::string::npos); // the value is not repeated
    }
  }
}

TEST_CASE("empty and overlong values are refused", "[notification]") {
  auto spoiled = [](auto spoil) {
    auto from = feed();
    auto what = plain_letter();
    spoil(from, what);
    return refusal(from, what);
  };
  using Catch::Matchers::StartsWith;
  CHECK_THAT(spoiled([](auto& f, auto&) { f.name.clear(); }), StartsWith("sender.name"));
  CHECK_THAT(spoiled([](auto& f, auto&) { f.name.assign(65, 'x'); }), StartsWith("sender.name"));
  CHECK_THAT(spoiled([](auto& f, auto&) { f.domain = "a..b"; }), StartsWith("sender.domain"));
  CHECK_THAT(spoiled([](auto&, auto& w) { w.notice_id.assign(65, 'x'); }), StartsWith("notice_id"));
  CHECK_THAT(spoiled([](auto&, auto& w) { w.subject.clear(); }), StartsWith("subject"));
  CHECK_THAT(spoiled([](auto&, auto& w) { w.text.clear(); }), StartsWith("text"));
  CHECK_THAT(spoiled([](auto&, auto& w) { w.html.assign(300'000, 'x'); }), StartsWith("text"));
  CHECK_THAT(spoiled([](auto&, auto& w) { w.text = "\xff"; }), StartsWith("text"));
}

TEST_CASE("an address is a dot-atom and a host name, and nothing cleverer", "[notification]") {
  for (auto good :
       {"a@b", "person@example.org", "first.last+tag@sub.example.co.uk", "o'brien@example.org",
        "x_1-2@xn--bcher-kva.example", "{|}~@e.example", "a@127.0.0.1"}) {
    CAPTURE(good);
    CHECK(is_address(good));
  }
  std::vector<std::string> bad{"",
                               "a",
                               "@",
                               "a@",
                               "@b",
                               "a@@b",
                               "a@b@c",
                               ".a@b",
                               "a.@b",
                               "a..b@c",
                               "a b@c",
                               "a@b c",
                               "<a@b>",
                               "a@b>",
                               "a@b, c@d",
                               "\"a b\"@c",
                               "Name <a@b>",
                               "a@[127.0.0.1]",
                               "a@-b",
                               "a@b-",
                               "a@b..c",
                               "a@b.",
                               "a@.b",
                               "a@b_c",
                               "ä@b",
                               "a@ä.example",
                               "a(c)@b",
                               "a@b SIZE=1",
                               std::string(65, 'a') + "@b",
                               "a@" + std::string(64, 'b'),
                               "a@" + std::string(63, 'b') + "." + std::string(63, 'b') + "." +
                                   std::string(63, 'b') + "." + std::string(63, 'b')};
  for (auto& text : bad) {
    CAPTURE(text);
    CHECK_FALSE(is_address(text));
  }
}
