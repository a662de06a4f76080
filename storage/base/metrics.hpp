/// The process's counters, served at /metrics. Names follow `candor_<room>_<what>_<unit>[_total]`
/// (tests/golden/metrics.txt holds them).
/// Must never be labelled with a user or with a category of a user; what carries a `reason` carries
/// no shard.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

namespace candor::metrics {

prometheus::Registry& registry();

/// References stay valid for the life of the process. Made once, at a room's start; not on a hot
/// path.
prometheus::Counter& counter(const std::string& name, const std::string& help,
                             const std::map<std::string, std::string>& labels = {});
prometheus::Gauge& gauge(const std::string& name, const std::string& help,
                         const std::map<std::string, std::string>& labels = {});
/// Buckets from 100 µs to 10 s.
prometheus::Histogram& seconds(const std::string& name, const std::string& help,
                               const std::map<std::string, std::string>& labels = {});

/// All of it in Prometheus's text format.
std::string expose();

} // namespace candor::metrics
