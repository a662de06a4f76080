/// candor-sim-<variant>: the protocol with one rule left out (cluster/replication/broken.hpp),
/// which the simulator must find.

#include "tools/candor-sim/replica_command.hpp"

int main(int argc, char** argv) {
  return candor::sim::one_shard::replica_command(argc, argv);
}
