#include "tests/unit/policy/fixture.hpp"

#include "storage/base/limits.hpp"

namespace candor::model {

using namespace testing;

namespace {

/// The reference policy with `line` (its beginning is enough) replaced by `by`, and the detail of
/// its refusal.
std::string refusal(std::string_view line, std::string_view by) {
  auto text = reference_text();
  auto from = text.find("\n" + std::string{line});
  if (from == std::string::npos)
    return "no such line";
  ++from;
  auto to = text.find('\n', from);
  text.replace(from, to - from, by);
  auto p = parse_policy(text, "p.toml", shipped_regions());
  if (p)
    return "accepted";
  CHECK(p.error().code == errc::policy_invalid);
  return p.error().detail;
}

std::string verdict_on(std::string_view text) {
  auto p = parse_policy(text, "p.toml", shipped_regions());
  return p ? "accepted" : p.error().detail;
}

} // namespace

TEST_CASE("the reference policy says what was announced", "[policy]") {
  auto p = reference_policy();
  CHECK(p.id == "ai-interactions");
  CHECK(p.version == "2025-12-16.1");
  CHECK(p.notice_revision == 1);
  CHECK(p.announce_at == at("2025-10-07"));
  CHECK(p.effective_at == at("2025-12-16"));
  CHECK(p.audience == "ai_users");
  CHECK(p.minimum_age == 18);
  CHECK(p.unknown_age == unknown_age_rule::adult);
  CHECK(p.opt_out == opt_out_mode::none);
  CHECK(p.require_notice);
  CHECK(p.notice_lead == millis{0});
  CHECK(p.excluded_regions == std::vector<std::string>{"GB", "EU", "KR"});
  CHECK(p.purge_grace == std::chrono::days{30});
  CHECK(p.sensitive_extra.empty());
  CHECK(p.sources(use::ads) == std::set{source::ai, source::engagement});
  CHECK(p.sources(use::content) == std::set{source::ai, source::engagement});
  CHECK(p.half_life == std::chrono::days{30});
  CHECK(p.retention == std::chrono::days{400});
  CHECK(p.notice_channels == std::vector{channel::in_app, channel::email});
  CHECK(p.notices_complete_by == at("2025-12-09"));
  CHECK(p.quiet_from == "21:00");
  CHECK(p.quiet_until == "08:00");
  CHECK(p.notices_per_second == 200);
  CHECK(p.notice_templates == "notices/ai-interactions");
  CHECK(p.text == reference_text());
}

TEST_CASE("a policy file's mistakes are refused at their line and column", "[policy]") {
  struct row {
    std::string line, by, where, words;
  };
  // The reference file opens with three lines of comment and an empty one: `id` stands in line 5.
  const std::vector<row> rows{
      // keys
      {"id =", "idd = \"x\"", "p.toml:5:1: ", "\"idd\" is not known"},
      {"id =", "", "p.toml:1:1: ", "id is missing"},
      {"opt_out =", "", "p.toml:1:1: ", "opt_out is missing"},
      {"ads =", "add = []", "p.toml:21:1: ", "\"add\" is not known in [uses]"},
      {"ads =", "", "p.toml:20:1: ", "uses.ads is missing"},
      {"[uses]", "[use]", "p.toml:20:2: ", "\"use\" is not known here"},
      {"[decay]", "[uses.decay]", "p.toml:24:7: ", "\"decay\" is not known in [uses]"},
      {"rate_per_second", "", "p.toml:28:1: ", "notices.rate_per_second is missing"},
      {"version =", "id = \"again\"", "p.toml:6:", "id"},
      // the form of a TOML file
      {"id =", "id = ", "p.toml:5:", "Error while parsing"},
      {"id =", "id = \"ai", "p.toml:5:", "Error while parsing"},
      {"effective_at", "effective_at = 2025-13-16T00:00:00Z", "p.toml:9:", "month"},
      {"effective_at", "effective_at = 2025-02-30T00:00:00Z", "p.toml:9:", "day"},
      // identity
      {"id =", "id = 7", "p.toml:5:6: ", "must be a quoted string"},
      {"id =", "id = \"\"", "p.toml:5:6: ", "lower-case letters, digits and hyphens"},
      {"id =", "id = \"AI\"", "p.toml:5:6: ", "lower-case letters, digits and hyphens"},
      {"id =", "id = \"../x\"", "p.toml:5:6: ", "lower-case letters, digits and hyphens"},
      {"id =", "id = \"" + std::string(65, 'a') + "\"", "p.toml:5:6: ", "1 to 64"},
      {"version =", "version = \"1\"", "p.toml:6:11: ", "such as 2025-12-16.1"},
      {"version =", "version = \"2025-12-16\"", "p.toml:6:11: ", "such as 2025-12-16.1"},
      {"version =", "version = \"2025-12-16.0\"", "p.toml:6:11: ", "such as 2025-12-16.1"},
      {"version =", "version = \"2025-12-16.12345\"", "p.toml:6:11: ", "such as 2025-12-16.1"},
      {"version =", "version = \"2025-12-32.1\"", "p.toml:6:11: ", "such as 2025-12-16.1"},
      {"version =", "version = \"2025-12-16.1x\"", "p.toml:6:11: ", "such as 2025-12-16.1"},
      {"notice_revision", "notice_revision = 0", "p.toml:7:19: ", "from 1 to 1000000"},
      {"notice_revision", "notice_revision = -1", "p.toml:7:19: ", "from 1 to 1000000"},
      {"notice_revision", "notice_revision = 1.5", "p.toml:7:19: ", "whole number"},
      {"notice_revision", "notice_revision = \"1\"", "p.toml:7:19: ", "whole number"},
      // times
      {"announce_at", "announce_at = \"2025-10-07T00:00:00Z\"", "p.toml:8:15: ", "unquoted"},
      {"announce_at", "announce_at = 2025-10-07", "p.toml:8:15: ", "with its offset"},
      {"announce_at", "announce_at = 2025-10-07T00:00:00", "p.toml:8:15: ", "with its offset"},
      {"announce_at", "announce_at = 1600-10-07T00:00:00Z", "p.toml:8:15: ", "1970 to 2199"},
      {"announce_at", "announce_at = 1970-01-01T00:00:00+01:00", "p.toml:8:15: ", "1970 to 2199"},
      {"effective_at", "effective_at = 2200-01-01T00:00:00Z", "p.toml:9:16: ", "1970 to 2199"},
      {"effective_at", "effective_at = 2025-10-06T23:59:59.999Z",
       "p.toml:9:16: ", "effective_at must not be before announce_at"},
      {"effective_at", "effective_at = 2025-12-08T00:00:00Z",
       "p.toml:30:15: ", "complete_by must not be after effective_at"},
      {"complete_by", "complete_by = 2025-12-16T00:00:00.001Z",
       "p.toml:30:15: ", "complete_by must not be after effective_at"},
      {"complete_by", "complete_by = 2025-10-06T00:00:00Z",
       "p.toml:30:15: ", "complete_by must not be before announce_at"},
      {"complete_by", "", "p.toml:28:1: ", "notices.complete_by is missing"},
      {"notice_lead", "notice_lead = \"8d\"", "p.toml:30:15: ", "at least notice_lead before"},
      {"notice_lead", "notice_lead = 8", "p.toml:15:15: ", "must be a quoted string"},
      {"notice_lead", "notice_lead = \"-1d\"", "p.toml:15:15: ", "whole number and a unit"},
      // people
      {"audience", "audience = \"some\"", "p.toml:10:12: ", "ai_users, everyone"},
      {"minimum_age", "minimum_age = -1", "p.toml:11:15: ", "from 0 to 99"},
      {"minimum_age", "minimum_age = 100", "p.toml:11:15: ", "from 0 to 99"},
      {"minimum_age", "minimum_age = true", "p.toml:11:15: ", "whole number"},
      {"unknown_age", "unknown_age = \"child\"", "p.toml:12:15: ", "adult, minor"},
      {"opt_out", "opt_out = \"some\"", "p.toml:13:11: ", "none, ads, all"},
      {"opt_out", "opt_out = false", "p.toml:13:11: ", "must be a quoted string"},
      {"require_notice", "require_notice = \"yes\"", "p.toml:14:18: ", "true or false"},
      // regions
      {"excluded_regions", "excluded_regions = \"GB\"", "p.toml:16:20: ", "must be a list"},
      {"excluded_regions", "excluded_regions = [\"GB\", \"UK\"]",
       "p.toml:16:27: ", "ISO 3166-1 alpha-2"},
      {"excluded_regions", "excluded_regions = [\"gb\"]", "p.toml:16:21: ", "ISO 3166-1 alpha-2"},
      {"excluded_regions", "excluded_regions = [\"EUROPE\"]",
       "p.toml:16:21: ", "groups of regions.toml"},
      {"excluded_regions", "excluded_regions = [\"GB\", \"EU\", \"GB\"]",
       "p.toml:16:33: ", "names \"GB\" twice"},
      {"excluded_regions", "excluded_regions = [\"GB\", 44]", "p.toml:16:27: ", "quoted strings"},
      {"purge_grace", "purge_grace = \"30 days\"", "p.toml:17:15: ", "such as 30d"},
      {"purge_grace", "purge_grace = \"4000d\"", "p.toml:17:15: ", "at most 3650d"},
      // sensitive categories
      {"sensitive_extra", "sensitive_extra = [\"health\"]", "p.toml:18:20: ", "always hold"},
      {"sensitive_extra", "sensitive_extra = [\"-health\"]", "p.toml:18:20: ", "always hold"},
      {"sensitive_extra", "sensitive_extra = [\"!health\"]", "p.toml:18:20: ", "to add"},
      {"sensitive_extra", "sensitive_extra = [\"unknown\"]", "p.toml:18:20: ", "to add"},
      {"sensitive_extra", "sensitive_extra = { health = false }",
       "p.toml:18:19: ", "must be a list"},
      // uses and decay
      {"ads =", "ads = [\"ai\", \"voice\"]", "p.toml:21:14: ", "uses.ads may hold: ai, engagement"},
      {"ads =", "ads = [\"ai\", \"ai\"]", "p.toml:21:14: ", "twice"},
      {"ads =", "ads = \"ai\"", "p.toml:21:7: ", "must be a list"},
      {"ads =", "ads = [\"ai\", \"engagement\", \"more\"]", "p.toml:21:7: ", "at most 2"},
      {"half_life", "half_life = \"0d\"", "p.toml:25:13: ", "must be more than 0"},
      {"half_life", "half_life = \"401d\"", "p.toml:26:13: ", "at least decay.half_life"},
      {"retention", "retention = \"29d\"", "p.toml:26:13: ", "at least decay.half_life"},
      {"retention", "retention = 400", "p.toml:26:13: ", "must be a quoted string"},
      // notices
      {"channels", "channels = []", "p.toml:29:12: ", "at least one of: in_app, email"},
      {"channels", "channels = [\"fax\"]", "p.toml:29:13: ", "in_app, email"},
      {"quiet_hours", "quiet_hours = [\"21:00\"]", "p.toml:31:15: ", "two times of day"},
      {"quiet_hours", "quiet_hours = [\"21:00\", \"24:00\"]", "p.toml:31:25: ", "times of day"},
      {"quiet_hours", "quiet_hours = [\"21:60\", \"08:00\"]", "p.toml:31:16: ", "times of day"},
      {"quiet_hours", "quiet_hours = [\"9:00\", \"08:00\"]", "p.toml:31:16: ", "times of day"},
      {"rate_per_second", "rate_per_second = 0", "p.toml:32:19: ", "from 1 to 100000"},
      {"templates", "templates = \"/etc\"", "p.toml:33:13: ", "relative path"},
      {"templates", "templates = \"notices/../../etc\"", "p.toml:33:13: ", "relative path"},
      {"templates", "templates = \"notices//a\"", "p.toml:33:13: ", "relative path"},
  };
  for (const auto& r : rows) {
    auto detail = refusal(r.line, r.by);
    INFO(r.by);
    CHECK_THAT(detail, Catch::StartsWith(r.where));
    CHECK_THAT(detail, Catch::Contains(r.words));
  }
}

TEST_CASE("what a policy may leave out or choose otherwise", "[policy]") {
  CHECK(refusal("sensitive_extra", "") == "accepted");
  CHECK(refusal("sensitive_extra", "sensitive_extra = [\"gambling\", \"weight_loss\"]") ==
        "accepted");
  CHECK(refusal("notice_lead", "") == "accepted");
  CHECK(refusal("notice_lead", "notice_lead = \"7d\"") == "accepted"); // exactly to complete_by
  CHECK(refusal("quiet_hours", "") == "accepted");
  CHECK(refusal("excluded_regions", "excluded_regions = []") == "accepted");
  CHECK(refusal("ads =", "ads = []") == "accepted");
  CHECK(refusal("complete_by", "complete_by = 2025-12-16T01:00:00+01:00") == "accepted");
  CHECK(refusal("half_life", "half_life = \"400d\"") == "accepted");
}

TEST_CASE("a policy that requires no notice may have no [notices]", "[policy]") {
  auto text = reference_text();
  text.resize(text.find("[notices]"));
  CHECK(verdict_on(text) == "p.toml:1:1: notices is missing");
  auto from = text.find("require_notice = true");
  text.replace(from, 21, "require_notice = false");
  auto p = parse_policy(text, "p.toml", shipped_regions());
  REQUIRE(p);
  CHECK_FALSE(p->require_notice);
  CHECK_FALSE(p->notices_complete_by);
  CHECK(p->notice_channels.empty());
}

TEST_CASE("no policy file is too strange to be refused with a place", "[policy]") {
  CHECK_THAT(verdict_on(""), Catch::StartsWith("p.toml:1:1: id is missing"));
  CHECK_THAT(verdict_on("\xff\xfe"), Catch::StartsWith("p.toml:1:1: the file is not valid UTF-8"));
  CHECK_THAT(verdict_on(std::string(limits::policy_file_bytes + 1, '#')),
             Catch::StartsWith("p.toml:1:1: the file has 65537 bytes; at most 65536"));
  CHECK_THAT(verdict_on("id = " + std::string(5000, '[')), Catch::StartsWith("p.toml:1:"));
  CHECK_THAT(verdict_on(std::string{"id = \"a\0b\"", 10}), Catch::StartsWith("p.toml:1:"));
  for (auto text :
       {"[=]", "[\t\n]", "[[!]]", "a.= 1", "a = [", "a = {", "a = \"\\u", "= 1", "[a]\n[a]"})
    CHECK_THAT(verdict_on(text), Catch::StartsWith("p.toml:"));
  CHECK_THAT(verdict_on("\"\\u0007\" = 1"), Catch::Contains("not printable"));
  CHECK_THAT(verdict_on("notice_revision = 99999999999999999999"), Catch::StartsWith("p.toml:1:"));
  CHECK_THAT(verdict_on("uses = 1\nid = \"a\""),
             Catch::StartsWith("p.toml:1:1: version is missing"));
}

TEST_CASE("letters beyond ASCII stand in strings and comments, and nowhere else", "[policy]") {
  for (auto text :
       {"größe = 1", "id = ü", "id = \"a\" ü", "id = 1\"ü\"", "[ā]", "id\u3000 = 1", "ﹿ"}) {
    INFO(text);
    CHECK_THAT(verdict_on(text), Catch::StartsWith("p.toml:1:") && Catch::Contains("Error while"));
  }
  CHECK(verdict_on(reference_text() + "\n# Größe, ā, ﹿ") == "accepted");
}

} // namespace candor::model
