#include "storage/engine/damage_watch.hpp"

#include <atomic>

#include "storage/base/planted.hpp"

namespace candor::engine {

namespace {

/// Shared with the snapshots.
class damage_ear {
public:
  explicit damage_ear(std::function<void(const error&)> told)
    : told_{std::move(told)} {}

  template <class Answer>
  result<Answer> hear(result<Answer> read) {
    if (!read && read.error().code == errc::corrupt && !planted(bug::damage_unheard) &&
        !heard_.exchange(true))
      told_(read.error());
    return read;
  }

private:
  std::function<void(const error&)> told_;
  std::atomic<bool> heard_{false};
};

class watched_snapshot final : public snapshot {
public:
  watched_snapshot(std::unique_ptr<snapshot> inner, std::shared_ptr<damage_ear> ear)
    : inner_{std::move(inner)}
    , ear_{std::move(ear)} {}

  result<void> scan(table from, std::string_view begin, std::string_view end,
                    const visitor& visit) const override {
    return ear_->hear(inner_->scan(from, begin, end, visit));
  }

private:
  std::unique_ptr<snapshot> inner_;
  std::shared_ptr<damage_ear> ear_;
};

class watched_engine final : public engine {
public:
  watched_engine(engine& inner, std::function<void(const error&)> told)
    : inner_{inner}
    , ear_{std::make_shared<damage_ear>(std::move(told))} {}

  result<void> write(const batch& operations, sync durable) override {
    return inner_.write(operations, durable); // its caller ends the node itself
  }

  result<std::optional<std::string>> get(table from, std::string_view key) const override {
    return ear_->hear(inner_.get(from, key));
  }

  result<void> scan(table from, std::string_view begin, std::string_view end,
                    const visitor& visit) const override {
    return ear_->hear(inner_.scan(from, begin, end, visit));
  }

  std::unique_ptr<::candor::engine::snapshot> snapshot() const override {
    return std::make_unique<watched_snapshot>(inner_.snapshot(), ear_);
  }

  result<std::optional<std::pair<std::string, std::string>>>
  last(table from, std::string_view begin, std::string_view end) const override {
    return ear_->hear(inner_.last(from, begin, end));
  }

  result<void> flush() override { return inner_.flush(); }
  result<void> resume() override { return inner_.resume(); }
  result<void> checkpoint(const std::filesystem::path& to) override {
    return inner_.checkpoint(to);
  }
  result<void> verify() const override { return inner_.verify(); }
  std::uint64_t size_bytes() const override { return inner_.size_bytes(); }

private:
  engine& inner_;
  std::shared_ptr<damage_ear> ear_;
};

} // namespace

std::unique_ptr<engine> watch_for_damage(engine& watched, std::function<void(const error&)> told) {
  return std::make_unique<watched_engine>(watched, std::move(told));
}

} // namespace candor::engine
