/// `candor-sim --scenario <one of tests/sim>`: whole clusters of real actors.
#pragma once

namespace candor::sim {

/// Exit codes: 0 nothing found, 1 failed, 2 wrong usage, 10 a check failed.
int cluster_command(int argc, char** argv);

} // namespace candor::sim
