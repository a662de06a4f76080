#include <catch2/catch.hpp>

#include "cluster/replication/disk_patience.hpp"

using namespace candor;
using namespace candor::replication;
using namespace std::chrono_literals;

TEST_CASE("a slow disk is left once in a while, one that hangs each time", "[replication]") {
  disk_patience of;
  CHECK_FALSE(of.leaves(0ms, 0ms));
  CHECK_FALSE(of.leaves(300ms, 300ms));
  CHECK(of.leaves(301ms, 301ms));
  CHECK(of.leaves(321ms, 321ms)); // what could not begin begins now
  of.left = 321ms;
  CHECK_FALSE(of.leaves(5'301ms, 301ms)); // slow again
  CHECK_FALSE(of.leaves(5'600ms, 600ms));
  CHECK(of.leaves(5'620ms, 620ms));
  CHECK(of.leaves(5'640ms, 640ms));
  of.left = 5'640ms;
  CHECK_FALSE(of.leaves(15'640ms, 301ms));
  CHECK(of.leaves(15'641ms, 301ms));
}
