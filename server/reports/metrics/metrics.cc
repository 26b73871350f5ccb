#include "server/reports/metrics/metrics.h"

#include "server/reports/metrics/families.h"

namespace sluice::server {
namespace {

using Family = void (*)(Server&, PrometheusText&);

constexpr Family kFamilies[] = {ServerMetrics, ClientMetrics, CommandMetrics,
                                MemoryMetrics, NameMetrics,   PartitionMetrics};

}  // namespace

std::string MetricsText(Server& server) {
  PrometheusText text;
  for (const Family family : kFamilies) {
    family(server, text);
  }
  return text.Take();
}

}  // namespace sluice::server
