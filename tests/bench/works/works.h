#pragma once

#include "tests/bench/lineup.h"
#include "tests/bench/report.h"
#include "tests/bench/timing.h"

namespace sluice::bench {

// The measurements, one function each. Each starts the programs that it compares, adds its rows to
// the report, and stops the programs. They throw if a reply is wrong or a program fails. DESIGN's
// 'What it is measured by' defines the rows and their bounds.

// Put and get of 1 MiB and 8 MiB values, one connection, TCP and Unix socket, several keys
// overwritten repeatedly, compared with bare and Redis.
void MeasureLarge(Lineup& lineup, const Plan& plan, Report& report);

// 64-byte puts, 100,000 keys, 50 connections, pipeline of 16, compared with Redis's SET.
void MeasureSmall(Lineup& lineup, const Plan& plan, Report& report);

// Bytes stored in 64 KiB rows compared with the memory use reported by the server and the kernel.
void MeasureMemory(Lineup& lineup, Report& report);

// Latency of PING while another connection gets 64 MB values; no bound, for information.
void MeasurePing(Lineup& lineup, const Plan& plan, Report& report);

}  // namespace sluice::bench
