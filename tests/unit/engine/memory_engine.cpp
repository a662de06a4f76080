#include <catch2/catch.hpp>

#include "tests/conformance/engine/sides.hpp"

using namespace candor;
using namespace candor::test;
using engine::sync;
using engine::table;

TEST_CASE("a memory engine beyond its capacity is a full disk until it is resumed", "[engine]") {
  auto db = engine::make_memory_engine(100);
  REQUIRE(db->write({put(table::meta, "a", std::string(60, 'x'))}, sync::yes));
  auto full = db->write({put(table::meta, "b", "1"), put(table::meta, "c", std::string(60, 'x'))},
                        sync::yes);
  REQUIRE_FALSE(full);
  CHECK(full.error().code == errc::disk_full);
  CHECK(db->get(table::meta, "b").value() == std::nullopt);
  CHECK(db->write({erase(table::meta, "a")}, sync::yes).error().code == errc::read_only);
  CHECK(db->flush().error().code == errc::read_only);
  CHECK(db->get(table::meta, "a").value().value().size() == 60);
  REQUIRE(db->resume());
  REQUIRE(db->write({erase(table::meta, "a")}, sync::yes));
  CHECK(db->size_bytes() == 0);
  CHECK(db->write({put(table::meta, "c", std::string(60, 'x'))}, sync::yes));
}

TEST_CASE("a memory engine has nothing to copy, and says so", "[engine]") {
  temporary_folder folder;
  auto db = engine::make_memory_engine();
  CHECK(db->checkpoint(folder / "copy").error().code == errc::unavailable);
  CHECK_FALSE(std::filesystem::exists(folder / "copy"));
}
