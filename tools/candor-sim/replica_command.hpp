/// `candor-sim --scenario replica`: one shard's protocol, its replicas real and all else simulated.
/// The command line of its own; the broken variants of the protocol have no other.
#pragma once

namespace candor::sim::one_shard {

/// Exit codes: 0 nothing found, 1 failed, 2 wrong usage, 10 an invariant does not hold.
int replica_command(int argc, char** argv);

} // namespace candor::sim::one_shard
