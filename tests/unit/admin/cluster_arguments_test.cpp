#include <catch2/catch.hpp>

#include "actors/admin/cluster_arguments.hpp"

using namespace candor;
using namespace candor::admin;

namespace {

arguments given(const std::string& json) {
  auto a = arguments::parse(json);
  REQUIRE(a);
  return *a;
}

} // namespace

TEST_CASE("a drain names one node", "[admin]") {
  auto well = given(R"({"node":"node-2"})");
  CHECK(*read_node(well) == "node-2");
  struct row {
    std::string json;
    errc code;
  };
  for (const auto& r :
       std::vector<row>{{"{}", errc::missing_field},
                        {R"({"node":7})", errc::bad_value},
                        {R"({"node":""})", errc::bad_value},
                        {R"({"node":"../x"})", errc::bad_value},
                        {R"({"node":"a b"})", errc::bad_value},
                        {R"({"node":")" + std::string(65, 'n') + R"("})", errc::bad_value},
                        {R"({"node":"a","force":true})", errc::unknown_field}}) {
    INFO(r.json);
    auto a = given(r.json);
    auto read = read_node(a);
    REQUIRE_FALSE(read);
    CHECK(read.error().code == r.code);
  }
}

TEST_CASE("a move names a shard that there is, and a node", "[admin]") {
  auto well = given(R"({"shard":63,"node":"node-2"})");
  auto order = read_move(well, 64);
  REQUIRE(order);
  CHECK(order->shard == 63);
  CHECK(order->node == "node-2");
  struct row {
    std::string json;
    errc code;
  };
  for (const auto& r :
       std::vector<row>{{R"({"shard":64,"node":"a"})", errc::not_found},
                        {R"({"shard":65536,"node":"a"})", errc::bad_value},
                        {R"({"shard":-1,"node":"a"})", errc::bad_value},
                        {R"({"shard":"1","node":"a"})", errc::bad_value},
                        {R"({"node":"a"})", errc::missing_field},
                        {R"({"shard":1})", errc::missing_field},
                        {R"({"shard":1,"node":"a","term":3})", errc::unknown_field}}) {
    INFO(r.json);
    auto a = given(r.json);
    auto read = read_move(a, 64);
    REQUIRE_FALSE(read);
    CHECK(read.error().code == r.code);
  }
}

TEST_CASE("a rebalance moves unless it is only to be said", "[admin]") {
  auto nothing = given("{}"), dry = given(R"({"dry_run":true})"), odd = given(R"({"dry_run":1})"),
       unknown = given(R"({"dryrun":true})");
  CHECK_FALSE(*read_rebalance(nothing));
  CHECK(*read_rebalance(dry));
  CHECK(read_rebalance(odd).error().code == errc::bad_value);
  CHECK(read_rebalance(unknown).error().code == errc::unknown_field);
}
