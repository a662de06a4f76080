/// What a node does with its configuration before it serves, done without a node: for `candorctl
/// config check`. Stands behind `load` and `check`, which a node asks first too. Guarantees: in a
/// certificate, key, notice, lexicon or model in which this found no fault a node finds none,
/// unless it was changed in between. Must never start a program, listen, connect, or touch the
/// data.
#pragma once

#include "actors/supervision/config/config.hpp"

namespace candor::config {

/// Reads the certificates with their keys as TLS will, tries the mail settings, and loads the
/// notices of every policy, the lexicon and the model. Takes seconds. Error: `config_invalid`.
result<void> rehearse(const node_config& config, const checked& files);

} // namespace candor::config
