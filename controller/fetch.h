// What a fetch asks for, and what it gets.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "controller/samplers/sampler.h"
#include "store/tags/where.h"

namespace sluice::controller {

// A number that increases with each lease of the server; 0 for no lease.
using LeaseId = std::int64_t;

struct RankStep {
  std::int64_t rank = 0;
  std::int64_t step = 0;
};

struct LeaseTerms {
  std::int64_t ms = 0;
  std::int64_t connection = 0;  // the lease ends with this connection; 0: not bound
};

// Which rows a task wants.
struct Selection {
  std::vector<std::string> fields;
  std::optional<store::Where> where;
  std::string where_text;  // equal texts mean equal conditions
};

struct Fetch {
  std::string task;
  Selection selection;
  SamplerChoice sampler;
  std::int64_t count = 0;
  std::int64_t min = 0;  // 1 .. count: enough at the time-out
  // Enough if no more rows can come: as `min`; by default 1 with TOKENS, where COUNT is a bound.
  std::int64_t last = 0;
  std::optional<RankStep> step;
  std::optional<LeaseTerms> lease;
  bool keep = false;  // sample without consuming
};

struct Fetched {
  std::vector<RowIndex> rows;
  std::vector<double> weights;  // one per row, if the sampler uses weights
  LeaseId lease = 0;
  bool end = false;  // end of the stream: no rows now or later
  // For GiveBack(): the rows were free before; the step was created by this fetch.
  bool taken_now = false;
  bool step_now = false;
};

enum class Outcome : std::uint8_t {
  kRows,  // or the end of the stream
  kNil,   // not enough rows, and the fetch may not wait
  kWait,
};

}  // namespace sluice::controller
