/// The lexicon's Vectorscan database as a file: made when the model is made, so that a node, which
/// would need seconds to compile it, starts in a moment. Used by the finder alone. Guarantees: what
/// was made of other terms, by another Vectorscan or for another processor is not used; then the
/// finder compiles as if there were no file.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "storage/base/error.hpp"

struct hs_database;

namespace candor::topic_filter {

/// Of the terms, in the order of their numbers, and of the Vectorscan that is linked.
std::string scan_key(const std::vector<const std::string*>& terms);

/// The caller frees it. nullptr: there is none that fits.
hs_database* read_scan_file(const std::filesystem::path& file, const std::string& key);

/// What such a file holds. Error: `internal`: Vectorscan cannot put the database into bytes.
result<std::string> make_scan_file(const std::string& key, const hs_database* database);

} // namespace candor::topic_filter
