/// Hears of damaged rows: an engine that hands everything on to another one, and tells once when a
/// read of it met what its checksums do not fit. Compaction ends a damaged database's writes; a
/// read alone would leave its copy in use, with people in it who cannot be read.
///
/// Stands between a node's rooms and its database. Guarantees: `told` is called once at most, on
/// the thread of that read, before its caller hears of it. Must never change an answer.
#pragma once

#include <functional>
#include <memory>

#include "storage/engine/engine.hpp"

namespace candor::engine {

/// `watched` must outlive it. `told` is given the first `corrupt`; what a snapshot of it meets,
/// too. `verify` does not count: whoever asks for it is told.
std::unique_ptr<engine> watch_for_damage(engine& watched, std::function<void(const error&)> told);

} // namespace candor::engine
