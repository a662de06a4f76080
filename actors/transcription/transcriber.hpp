/// A recording in; the words that were heard, and how surely, out. Stands between admission and the
/// topic filter, on the node that received the recording. Guarantees: fails closed (what the
/// command could not say in time and in form was not understood); the recording is wiped when this
/// returns, and lay in no file. Must never log or count anything of what was said.
#pragma once

#include <atomic>
#include <chrono>
#include <string>
#include <vector>

#include "storage/base/limits.hpp"
#include "storage/base/metrics.hpp"
#include "storage/model/recording.hpp"

namespace candor::transcription {

struct transcriber_options {
  std::vector<std::string> command; ///< a program's absolute path and its arguments; no shell
  std::chrono::milliseconds deadline{10'000};
  std::size_t at_once = 2;
  std::size_t waiting_max = limits::recordings_waiting;
  std::chrono::milliseconds wait_max = limits::recording_wait;

  /// By then whoever asked has an answer.
  std::chrono::milliseconds patience() const {
    return wait_max + deadline + std::chrono::seconds{1};
  }
};

class transcriber {
public:
  explicit transcriber(transcriber_options options);

  /// Waits for the command. Any thread. The command's environment is PATH, LANG, CANDOR_LANGUAGE
  /// (`lang`) and CANDOR_MEDIA_TYPE, and nothing else. `stopped`: ends it early, as not tried.
  model::hearing hear(model::raw_recording recording, const std::string& lang,
                      const std::atomic<bool>& stopped) const;

private:
  transcriber_options options_;
  prometheus::Counter &heard_, &failed_, &late_, &unreadable_;
  prometheus::Histogram& seconds_;
};

} // namespace candor::transcription
