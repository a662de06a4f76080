/// candor-sim: runs clusters in virtual time, each from a seed, and checks what they promise. Exit
/// codes: 0 nothing found, 1 failed, 2 wrong usage, 10 a check failed.

#include <algorithm>
#include <span>
#include <string_view>

#include "tools/candor-sim/cluster/cluster_command.hpp"
#include "tools/candor-sim/replica_command.hpp"

int main(int argc, char** argv) {
  std::span<char*> words{argv, static_cast<std::size_t>(argc)};
  auto of_replicas = std::ranges::any_of(words, [](std::string_view word) {
    return word == "replica" || word == "--scenario=replica";
  });
  return of_replicas ? candor::sim::one_shard::replica_command(argc, argv)
                     : candor::sim::cluster_command(argc, argv);
}
