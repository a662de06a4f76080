#include <set>

#include <catch2/catch.hpp>

#include "storage/base/error.hpp"

namespace candor {

TEST_CASE("every error has a slug of its own, a status, a sentence and a remedy", "[error]") {
  std::set<std::string_view> slugs;
  for (const auto& row : error_table()) {
    INFO(row.slug);
    CHECK(slugs.insert(row.slug).second);
    CHECK(row.slug.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") ==
          std::string_view::npos);
    CHECK(row.http_status >= 400);
    CHECK(row.http_status < 600);
    CHECK(row.sentence.ends_with('.'));
    CHECK(row.remedy.ends_with('.'));
    CHECK(&info(row.code) == &row);
  }
  CHECK(slugs.size() > 30);
}

TEST_CASE("an error reads as its slug, its sentence and the detail", "[error]") {
  CHECK(error{errc::read_only, {}}.to_string() == "read_only: The disk takes no writes.");
  CHECK(error{errc::read_only, "db"}.to_string() == "read_only: The disk takes no writes. (db)");
}

TEST_CASE("a failed step ends the function that tries it", "[error]") {
  auto half = [](int n) -> result<int> {
    if (n % 2 != 0)
      return fail(errc::bad_value, "odd");
    return n / 2;
  };
  auto quarter = [&](int n) -> result<int> {
    CANDOR_TRY(once, half(n));
    CANDOR_TRY(twice, half(once));
    return twice;
  };
  auto check = [&](int n) -> result<void> {
    CANDOR_TRY_VOID(quarter(n));
    return {};
  };
  CHECK(*quarter(12) == 3);
  CHECK(check(12));
  REQUIRE_FALSE(quarter(6));
  CHECK(quarter(6).error().detail == "odd");
  CHECK(check(6).error().code == errc::bad_value);
}

} // namespace candor
