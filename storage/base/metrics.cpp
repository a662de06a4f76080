#include "storage/base/metrics.hpp"

#include <prometheus/text_serializer.h>

namespace candor::metrics {

prometheus::Registry& registry() {
  static prometheus::Registry all;
  return all;
}

prometheus::Counter& counter(const std::string& name, const std::string& help,
                             const std::map<std::string, std::string>& labels) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry()).Add(labels);
}

prometheus::Gauge& gauge(const std::string& name, const std::string& help,
                         const std::map<std::string, std::string>& labels) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry()).Add(labels);
}

prometheus::Histogram& seconds(const std::string& name, const std::string& help,
                               const std::map<std::string, std::string>& labels) {
  return prometheus::BuildHistogram()
      .Name(name)
      .Help(help)
      .Register(registry())
      .Add(labels, prometheus::Histogram::BucketBoundaries{0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03,
                                                           0.1, 0.3, 1, 3, 10});
}

std::string expose() {
  return prometheus::TextSerializer{}.Serialize(registry().Collect());
}

} // namespace candor::metrics
