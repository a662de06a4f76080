/// The node's log: structured lines `time level room message key=value ...` to stderr.
/// Must never carry: what a person said, a user id, a rule id of the topic filter, a category of a
/// person. A `user_id` handed to it prints as a keyed hash (ids.hpp).
#pragma once

#include <string_view>

#include <fmt/format.h>

namespace candor::log {

enum class level { debug, info, warn, error, off };

/// Thread-safe. Lines below the level are dropped.
void set_level(level least) noexcept;
level get_level() noexcept;

void write(level l, std::string_view room, std::string_view line);

template <class... Ts>
void debug(std::string_view room, fmt::format_string<Ts...> form, Ts&&... xs) {
  if (get_level() <= level::debug)
    write(level::debug, room, fmt::format(form, std::forward<Ts>(xs)...));
}

template <class... Ts>
void info(std::string_view room, fmt::format_string<Ts...> form, Ts&&... xs) {
  if (get_level() <= level::info)
    write(level::info, room, fmt::format(form, std::forward<Ts>(xs)...));
}

template <class... Ts>
void warn(std::string_view room, fmt::format_string<Ts...> form, Ts&&... xs) {
  if (get_level() <= level::warn)
    write(level::warn, room, fmt::format(form, std::forward<Ts>(xs)...));
}

template <class... Ts>
void error(std::string_view room, fmt::format_string<Ts...> form, Ts&&... xs) {
  if (get_level() <= level::error)
    write(level::error, room, fmt::format(form, std::forward<Ts>(xs)...));
}

} // namespace candor::log
