/// Which language a text without a tag is in. Between the normalizer and the finder, of texts in
/// Latin letters alone: other scripts tell languages apart by themselves. Answers only where CLD2
/// (Debian libcld2; Sites 2013) is sure; where it is not, the text is held against every lexicon.
/// Pure, thread-safe. Must never log or keep a text.
#pragma once

#include <string_view>

namespace candor::topic_filter {

/// A primary subtag of BCP 47 that lives as long as the program, or empty: not sure. `normal_form`
/// is valid UTF-8.
std::string_view likely_language(std::string_view normal_form);

} // namespace candor::topic_filter
