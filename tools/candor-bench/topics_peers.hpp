/// What the topic filter is measured beside, on the same texts in the same run: libfasttext, which
/// it must beat, and a bare Vectorscan scan for the lexicon's terms, which is the limit.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "actors/topic_filter/lexicon.hpp"
#include "storage/base/error.hpp"

namespace candor::bench {

class topics_peer {
public:
  virtual ~topics_peer() = default;
  virtual void judge(const std::string& text) = 0;
};

/// fastText's predictLine, of one label. Trained here, in a moment, on the English sentences of the
/// corpus with a label for each of its files: its speed hangs on the shape (100 dimensions, pairs
/// of words, letter groups of 3 to 5), not on how well it learned. Error: `config_invalid`.
result<std::unique_ptr<topics_peer>> make_fasttext(const std::filesystem::path& corpus);

/// The lexicon's terms in a database of Vectorscan; hits are counted and nothing else is done.
result<std::unique_ptr<topics_peer>> make_bare_scan(const topic_filter::lexicon& words);

} // namespace candor::bench
