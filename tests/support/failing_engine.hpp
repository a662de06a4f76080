/// The memory engine with writes that fail when told to, as a disk does that is full.
#pragma once

#include <atomic>
#include <memory>

#include "storage/engine/engine.hpp"

namespace candor::test {

class failing_engine final : public engine::engine {
public:
  result<void> write(const ::candor::engine::batch& b, ::candor::engine::sync s) override {
    if (failing)
      return fail(how);
    return inner->write(b, s);
  }
  result<std::optional<std::string>> get(::candor::engine::table t,
                                         std::string_view k) const override {
    return inner->get(t, k);
  }
  result<void> scan(::candor::engine::table t, std::string_view b, std::string_view e,
                    const ::candor::engine::visitor& v) const override {
    return inner->scan(t, b, e, v);
  }
  std::unique_ptr<::candor::engine::snapshot> snapshot() const override {
    return inner->snapshot();
  }
  result<std::optional<std::pair<std::string, std::string>>>
  last(::candor::engine::table t, std::string_view b, std::string_view e) const override {
    return inner->last(t, b, e);
  }
  result<void> resume() override {
    if (failing)
      return fail(errc::read_only);
    return {};
  }
  result<void> flush() override { return inner->flush(); }
  result<void> checkpoint(const std::filesystem::path& p) override { return inner->checkpoint(p); }
  result<void> verify() const override { return inner->verify(); }
  std::uint64_t size_bytes() const override { return inner->size_bytes(); }

  std::unique_ptr<::candor::engine::engine> inner = ::candor::engine::make_memory_engine();
  std::atomic<bool> failing = false;
  std::atomic<errc> how = errc::disk_full;
};

} // namespace candor::test
