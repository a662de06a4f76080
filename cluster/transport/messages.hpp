/// What the two ends of a link say to each other through CAF, and the first of the house's blocks
/// of type ids: `candor_cluster` follows it.
/// Must never change its order: both ends of a link number their types by it.
#pragma once

#include <caf/all.hpp>

CAF_BEGIN_TYPE_ID_BLOCK(candor_transport, caf::first_custom_type_id)
CAF_ADD_ATOM(candor_transport, candor::transport, door_atom, "door")
CAF_ADD_ATOM(candor_transport, candor::transport, alive_atom, "alive")
CAF_ADD_ATOM(candor_transport, candor::transport, drop_atom, "drop")
CAF_ADD_ATOM(candor_transport, candor::transport, drained_atom, "drained")
CAF_ADD_ATOM(candor_transport, candor::transport, beat_atom, "beat")
CAF_END_TYPE_ID_BLOCK(candor_transport)
