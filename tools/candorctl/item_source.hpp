/// Cuts a file of events into its items without understanding them: lines of NDJSON, or maps of a
/// msgpack stream. First step of `candorctl ingest`. Guarantees: memory stays bounded whatever the
/// file holds; an item over the bound or a stream that cannot be read on comes as an item with
/// `refused`, so that every item gets its verdict.
#pragma once

#include <cstddef>
#include <istream>
#include <memory>
#include <optional>
#include <string>

#include "storage/base/error.hpp"

namespace candor::ctl {

struct item {
  std::string bytes;            ///< without a line end
  std::size_t line = 0;         ///< of the file, or the place in the stream; from 1
  std::optional<error> refused; ///< `too_large`, `malformed`: it is not worth sending
};

class item_source {
public:
  virtual ~item_source() = default;
  virtual std::optional<item> next() = 0;
};

/// `in` must outlive the source. Lines of blanks are passed over.
std::unique_ptr<item_source> read_lines(std::istream& in);

/// What follows an item that cannot be read has no beginning: it ends the stream.
std::unique_ptr<item_source> read_msgpack_stream(std::istream& in);

} // namespace candor::ctl
