// The metric families; each function writes one group of them. Only for the sources of this folder.
//
// Thread safety: any thread. REQUIRES: the caller does not hold the engine lock. Errors:
// std::bad_alloc.
#pragma once

#include "server/dispatch/context.h"
#include "server/reports/metrics/prometheus_text.h"

namespace sluice::server {

void ServerMetrics(Server& server, PrometheusText& text);
void ClientMetrics(Server& server, PrometheusText& text);
void CommandMetrics(Server& server, PrometheusText& text);
void MemoryMetrics(Server& server, PrometheusText& text);
void NameMetrics(Server& server, PrometheusText& text);
void PartitionMetrics(Server& server, PrometheusText& text);

}  // namespace sluice::server
