#include "tools/http_client/event_stream.hpp"

namespace candor::http_client {

namespace {

constexpr std::size_t event_bytes_max = 1024 * 1024;

} // namespace

bool event_stream::feed(std::string_view bytes) {
  for (char c : bytes) {
    if (c != '\n') {
      line_ += c;
      if (line_.size() > event_bytes_max)
        return false;
      continue;
    }
    if (line_.ends_with('\r'))
      line_.pop_back();
    auto wants_more = take_line(line_);
    line_.clear();
    if (!wants_more)
      return false;
  }
  return true;
}

bool event_stream::take_line(std::string_view line) {
  if (line.empty()) {
    auto whole = std::exchange(open_, {});
    if (!std::exchange(has_data_, false))
      return true;
    whole.id = last_id_;
    return tell_(whole);
  }
  auto colon = line.find(':');
  auto name = line.substr(0, colon);
  auto value = colon == line.npos ? std::string_view{} : line.substr(colon + 1);
  if (value.starts_with(' '))
    value.remove_prefix(1);
  if (name == "data") {
    if (has_data_)
      open_.data += '\n';
    open_.data += value;
    has_data_ = true;
  } else if (name == "event") {
    open_.name = value;
  } else if (name == "id") {
    last_id_ = value;
  }
  return open_.data.size() <= event_bytes_max;
}

} // namespace candor::http_client
