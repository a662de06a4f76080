/// An actor system that knows every message of the rooms, as a node's does.
#pragma once

#include <caf/all.hpp>

#include "actors/messages/messages.hpp"

namespace candor::test {

struct system_config : caf::actor_system_config {
  system_config() {
    add_message_types<caf::id_block::candor_transport>();
    add_message_types<caf::id_block::candor_cluster>();
    add_message_types<caf::id_block::candor_membership>();
    add_message_types<caf::id_block::candor>();
    set("scheduler.max-threads", 2u);
  }
};

} // namespace candor::test
