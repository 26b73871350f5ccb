#pragma once

#include "tests/bench/lineup.h"
#include "tests/bench/report.h"
#include "tests/bench/timing.h"

namespace sluice::bench {

// What is measured, one function a work. Each starts the contestants it compares, adds its rows to
// the report, and stops them. They throw when a reply is wrong or a program fails. The rows and
// their bounds are those of DESIGN's 'What it is measured by'.

// Put and get of 1 MiB and 8 MiB values, one connection, TCP and Unix socket, several keys written
// over again and again, against bare and Redis.
void MeasureLarge(Lineup& lineup, const Plan& plan, Report& report);

// 64-byte puts, 100,000 keys, 50 connections, pipeline of 16, against Redis's SET.
void MeasureSmall(Lineup& lineup, const Plan& plan, Report& report);

// Bytes stored in 64 KiB rows against what the server says it uses, and what the kernel says.
void MeasureMemory(Lineup& lineup, Report& report);

// How long a PING waits while another connection gets 64 MB values; no bound, a figure to read.
void MeasurePing(Lineup& lineup, const Plan& plan, Report& report);

}  // namespace sluice::bench
