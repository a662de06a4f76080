#include "tools/candor-sim/cluster/coordinator.hpp"

#include "storage/base/limits.hpp"

namespace candor::sim {

using coordination::change;
using coordination::versioned;
using coordination::watcher;

class coordinator_client final : public coordination::coordinator {
public:
  coordinator_client(coordinator_world& of, std::string node)
    : of_{of}
    , node_{std::move(node)} {}

  result<std::optional<versioned>> get(std::string_view key) override {
    CANDOR_TRY_VOID(reach());
    auto found = of_.all_.find(key);
    return found == of_.all_.end() ? std::optional<versioned>{} : std::optional{found->second};
  }

  result<std::vector<std::pair<std::string, versioned>>> list(std::string_view prefix) override {
    CANDOR_TRY_VOID(reach());
    std::vector<std::pair<std::string, versioned>> found;
    for (auto i = of_.all_.lower_bound(prefix); i != of_.all_.end() && i->first.starts_with(prefix);
         ++i)
      found.emplace_back(*i);
    return found;
  }

  result<bool> compare_and_swap(std::span<const change> changes) override {
    CANDOR_TRY_VOID(coordination::check_changes(changes));
    CANDOR_TRY_VOID(reach());
    auto& on = of_.on_;
    if (on.happens(of_.quality_.request_lost)) {
      // Lost for its sender: it may still arrive.
      if (on.happens(0.5))
        on.after(on.between(1000, 3'000'000),
                 [&of = of_, late = std::vector<change>{changes.begin(), changes.end()}] {
                   if (of.up_)
                     of.apply(late);
                 });
      return fail(errc::outcome_unknown, "the request was lost");
    }
    auto applied = of_.apply(changes);
    if (on.happens(of_.quality_.reply_lost))
      return fail(errc::outcome_unknown, "the reply was lost");
    return applied;
  }

  std::shared_ptr<void> watch(std::string prefix, watcher call) override {
    auto made = std::make_shared<coordinator_world::watching>(
        coordinator_world::watching{node_, std::move(prefix), std::move(call)});
    of_.watches_.push_back(made);
    return {nullptr, [&of = of_, made](void*) {
              made->call = nullptr;
              of.watches_.remove(made);
            }};
  }

private:
  result<void> reach() const {
    return of_.reachable(node_) ? result<void>{}
                                : fail(errc::unavailable, "the coordinator cannot be reached");
  }

  coordinator_world& of_;
  std::string node_;
};

std::unique_ptr<coordination::coordinator> coordinator_world::connect(const std::string& node) {
  return std::make_unique<coordinator_client>(*this, node);
}

void coordinator_world::set_reachable(const std::string& node, bool is) {
  if (is)
    cut_.erase(node);
  else
    cut_.insert(node);
}

std::int64_t coordinator_world::delay_us(const std::string& node) {
  // Who cannot reach it waits for its deadline.
  if (!reachable(node))
    return std::chrono::microseconds{limits::coordination_deadline}.count() / 2;
  return on_.between(quality_.delay_least_us, quality_.delay_most_us) * slow_;
}

bool coordinator_world::apply(std::span<const change> changes) {
  for (const auto& c : changes) {
    auto found = all_.find(c.key);
    if ((found == all_.end() ? 0 : found->second.version) != c.expected_version)
      return false;
  }
  for (const auto& c : changes) {
    versioned now{c.value, c.expected_version + 1};
    all_[c.key] = now;
    on_.mix(c.key);
    on_.mix(c.value);
    if (on_change)
      on_change(c.key, c.value);
    for (const auto& w : watches_)
      if (c.key.starts_with(w->prefix) && reachable(w->node))
        on_.after(on_.between(500, 20'000), [w, key = c.key, now] {
          if (w->call)
            w->call(key, now);
        });
  }
  return true;
}

} // namespace candor::sim
