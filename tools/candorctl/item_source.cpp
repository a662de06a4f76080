#include "tools/candorctl/item_source.hpp"

#include <fmt/format.h>
#include <msgpack.hpp>

#include "storage/base/limits.hpp"

namespace candor::ctl {

namespace {

constexpr std::size_t piece_bytes = 64 * 1024;

/// A window on the file that grows only as far as one item may.
class window {
public:
  explicit window(std::istream& in)
    : in_{in} {}

  /// Reads on; false at the end of the file.
  bool grow() {
    if (at_ > piece_bytes) {
      held_.erase(0, at_);
      at_ = 0;
    }
    auto had = held_.size();
    held_.resize(had + piece_bytes);
    in_.read(held_.data() + had, piece_bytes);
    held_.resize(had + static_cast<std::size_t>(in_.gcount()));
    return held_.size() > had;
  }

  std::string_view view() const { return std::string_view{held_}.substr(at_); }
  void take(std::size_t n) { at_ += n; }

private:
  std::istream& in_;
  std::string held_;
  std::size_t at_ = 0;
};

error over_the_bound() {
  return {errc::too_large, fmt::format("an event has at most {} bytes", limits::bulk_line_bytes)};
}

class line_source final : public item_source {
public:
  explicit line_source(std::istream& in)
    : window_{in} {}

  std::optional<item> next() override {
    while (auto made = next_line()) {
      if (made->refused || made->bytes.find_first_not_of(" \t\r") != std::string::npos)
        return made;
    }
    return std::nullopt;
  }

private:
  std::optional<item> next_line() {
    std::size_t looked_at = 0;
    auto dropped = false; ///< the line's beginning was over the bound and is gone
    for (;;) {
      auto view = window_.view();
      auto end = view.find('\n', looked_at);
      if (end != view.npos)
        return cut(view, end, end + 1, dropped);
      looked_at = view.size();
      if (looked_at > limits::bulk_line_bytes) {
        window_.take(looked_at);
        looked_at = 0;
        dropped = true;
      }
      if (!window_.grow()) {
        if (looked_at == 0 && !dropped)
          return std::nullopt;
        return cut(window_.view(), looked_at, looked_at, dropped);
      }
    }
  }

  item cut(std::string_view view, std::size_t length, std::size_t taken, bool dropped) {
    item made{{}, ++line_, std::nullopt};
    if (dropped || length > limits::bulk_line_bytes)
      made.refused = over_the_bound();
    else
      made.bytes = view.substr(0, length);
    window_.take(taken);
    return made;
  }

  window window_;
  std::size_t line_ = 0;
};

/// Finds where an object ends.
struct measuring_visitor : msgpack::null_visitor {
  bool wrong = false;
  void parse_error(std::size_t, std::size_t) { wrong = true; }
};

class msgpack_source final : public item_source {
public:
  explicit msgpack_source(std::istream& in)
    : window_{in} {}

  std::optional<item> next() override {
    if (ended_)
      return std::nullopt;
    for (;;) {
      auto view = window_.view();
      if (!view.empty()) {
        measuring_visitor visitor;
        std::size_t length = 0;
        auto whole = measure(view, length, visitor);
        if (whole && length <= limits::bulk_line_bytes) {
          item made{std::string{view.substr(0, length)}, ++line_, std::nullopt};
          window_.take(length);
          return made;
        }
        if (whole || view.size() > limits::bulk_line_bytes)
          return end(over_the_bound());
        if (visitor.wrong)
          return end({errc::malformed, "this is not msgpack; nothing after it was read"});
      }
      if (!window_.grow()) {
        ended_ = true;
        if (view.empty())
          return std::nullopt;
        return end({errc::malformed, "the stream ends within an object"});
      }
    }
  }

private:
  static bool measure(std::string_view view, std::size_t& length, measuring_visitor& visitor) {
    try {
      return msgpack::parse(view.data(), view.size(), length, visitor);
    } catch (const std::exception&) {
      visitor.wrong = true;
      return false;
    }
  }

  item end(error why) {
    ended_ = true;
    return {{}, ++line_, std::move(why)};
  }

  window window_;
  std::size_t line_ = 0;
  bool ended_ = false;
};

} // namespace

std::unique_ptr<item_source> read_lines(std::istream& in) {
  return std::make_unique<line_source>(in);
}

std::unique_ptr<item_source> read_msgpack_stream(std::istream& in) {
  return std::make_unique<msgpack_source>(in);
}

} // namespace candor::ctl
