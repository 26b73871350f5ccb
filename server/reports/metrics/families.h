// The families of metrics: one function each, which writes them whole. For this folder's sources.
//
// Thread safety: any thread. REQUIRES: the engine is not held by the caller. Errors:
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
