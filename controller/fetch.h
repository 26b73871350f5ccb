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

// A lease of the server's, counted up; 0: none.
using LeaseId = std::int64_t;

struct RankStep {
  std::int64_t rank = 0;
  std::int64_t step = 0;
};

struct LeaseTerms {
  std::int64_t ms = 0;
  std::int64_t connection = 0;  // whose end is the lease's, too; 0: nobody's
};

// Which rows a task wants.
struct Selection {
  std::vector<std::string> fields;
  std::optional<store::Where> where;
  std::string where_text;  // two selections with the same text have the same conditions
};

struct Fetch {
  std::string task;
  Selection selection;
  SamplerChoice sampler;
  std::int64_t count = 0;
  std::int64_t min = 0;  // 1 .. count
  std::optional<RankStep> step;
  std::optional<LeaseTerms> lease;
  bool keep = false;  // sample without consuming
};

struct Fetched {
  std::vector<RowIndex> rows;
  std::vector<double> weights;  // one a row, where the sampler weighs them
  LeaseId lease = 0;
  bool end = false;  // of the stream: no rows, and none will come
  // For GiveBack(): these rows were free before, and the step is of this fetch alone.
  bool taken_now = false;
  bool step_now = false;
};

enum class Outcome : std::uint8_t {
  kRows,  // or the end of the stream
  kNil,   // there are not enough, and it is not to wait
  kWait,
};

}  // namespace sluice::controller
