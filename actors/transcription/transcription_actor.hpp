/// The room that turns recordings into text: a bounded queue before a few threads, each of which
/// waits for one command at a time. Asked by ingestion, on the same node. Guarantees: no thread of
/// the scheduler waits for a command; who finds the queue full, or waits in it for too long, is
/// told `not_tried`; every question has an answer within the options' `patience`; at the room's end
/// its commands end.
#pragma once

#include "actors/messages/messages.hpp"
#include "actors/transcription/transcriber.hpp"

namespace candor::transcription {

transcription_handle spawn_transcription_actor(caf::actor_system& system,
                                               transcriber_options options);

} // namespace candor::transcription
