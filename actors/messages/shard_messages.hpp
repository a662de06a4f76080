/// One handler for each message that a shard's primary takes, made from the list in messages.hpp,
/// so that whoever stands before a primary (the router, the door of a node) can never lack one.
/// Must never name a single message.
#pragma once

#include "actors/messages/messages.hpp"

namespace candor {

template <class Signatures>
struct each_message;

template <class... Message, class... Answer>
struct each_message<caf::detail::type_list<
    caf::typed_mpi<caf::detail::type_list<Message>, caf::output_tuple<Answer>>...>> {
  /// `make(message*, answer*)` returns the handler of one message; `more` are added behind.
  template <class Make, class... More>
  static caf::behavior handlers(Make make, More... more) {
    return caf::behavior{make(static_cast<Message*>(nullptr), static_cast<Answer*>(nullptr))...,
                         std::move(more)...};
  }
};

using each_shard_message = each_message<profile_handle::signatures>;

} // namespace candor
