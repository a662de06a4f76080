#include "storage/base/log.hpp"

#include <atomic>

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace candor::log {

namespace {

std::atomic<level> least_level{level::info};

spdlog::logger& sink() {
  static const auto logger = [] {
    auto made = spdlog::stderr_logger_mt("candor");
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
    made->set_level(spdlog::level::trace);
    made->flush_on(spdlog::level::info);
    return made;
  }();
  return *logger;
}

} // namespace

void set_level(level least) noexcept {
  least_level = least;
}
level get_level() noexcept {
  return least_level;
}

void write(level l, std::string_view room, std::string_view line) {
  static constexpr spdlog::level::level_enum levels[] = {spdlog::level::debug, spdlog::level::info,
                                                         spdlog::level::warn, spdlog::level::err};
  if (l >= get_level() && l != level::off)
    sink().log(levels[static_cast<int>(l)], "{} {}", room, line);
}

} // namespace candor::log
