// Sampler: chooses which of the available rows a task takes. Each sampler is one file in samplers/
// and one row in sampler_registry.cc.
//
// A sampler gets a view: the rows that are complete, matching and free, as a set, never as a list.
// A sampler that needs more than the set (whole groups, sums of weights) keeps it itself and is
// notified of every change, so that the cost of a fetch depends on the rows taken, not on the rows
// that exist. (The small interface follows Reverb's ItemSelector.)
//
// Thread safety: one caller at a time (the holder of the engine lock).
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "controller/rows/row_bits.h"
#include "controller/rows/row_source.h"

namespace sluice::controller {

struct SamplerRow;

// The sampler and options of a fetch.
struct SamplerChoice {
  const SamplerRow* row = nullptr;
  std::int64_t size = 1;                   // SIZE: rows per group
  std::int64_t ranks = 1;                  // RANKS: how many ranks share the rows
  std::string by = {};                     // BY: the tag whose value forms groups; "": neighbours
  std::string weight = {};                 // WEIGHT: a tag; "": equal weights
  std::optional<std::uint64_t> seed = {};  // SEED
  std::int64_t tokens = 0;                 // TOKENS: the most weight of a share; 0: no limit
  bool underfill = false;                  // UNDERFILL: a share may have less
  std::int64_t count = 0;                  // with TOKENS: the most rows of a share

  // Returns true if both take the same rows of a view in the same order, apart from the seed.
  friend bool SameOrder(const SamplerChoice& a, const SamplerChoice& b) {
    return a.row == b.row && a.size == b.size && a.ranks == b.ranks && a.by == b.by &&
           a.weight == b.weight && a.tokens == b.tokens && a.underfill == b.underfill &&
           a.count == b.count;
  }
  friend bool operator==(const SamplerChoice& a, const SamplerChoice& b) {
    return SameOrder(a, b) && a.seed == b.seed;
  }
};

// What a sampler chooses from. Every member outlives the sampler.
struct Choosable {
  const RowBits& ready;     // the view
  const RowBits& existing;  // all rows of the partition
  const RowBits& gone;      // rows that the task has consumed: they will not become ready
  const RowSource& rows;
};

// Notifies `told`, a sampler or a part of one, of up to `count` existing rows from `next` on, and
// subtracts their number from `count`. Returns the row to continue at; the highest number if there
// are no more. Errors: as RowWritten().
template <typename Told>
RowIndex NotifyOfRows(Told& told, const Choosable& from, RowIndex next, std::int64_t& count) {
  RowIndex row = from.existing.NextFrom(next);
  for (; row != kNoRow && count > 0; --count) {
    told.RowWritten(row);
    if (from.ready.Contains(row)) {
      told.RowReady(row);
    }
    row = from.existing.NextFrom(row + 1);
  }
  return row == kNoRow ? std::numeric_limits<RowIndex>::max() : row;
}

struct Picked {
  std::vector<std::vector<RowIndex>> shares;  // one per rank; one if there are no ranks
  std::vector<double> weights;                // of shares[0], if the sampler uses weights
};

class Sampler {
 public:
  Sampler() = default;
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;
  virtual ~Sampler() = default;

  // Returns true if a new sampler must be notified of all existing rows, by NotifyOfRows(), before
  // it is asked for rows.
  [[nodiscard]] virtual bool KeepsRows() const { return false; }

  // A row of the partition was created or its tag was written; called before the two below.
  // Errors of these four: std::bad_alloc; the sampler is unusable then and is dropped.
  virtual void RowWritten(RowIndex /*row*/) {}
  // A row entered the view; a row left the view or was consumed.
  virtual void RowReady(RowIndex /*row*/) {}
  virtual void RowTaken(RowIndex /*row*/) {}
  // A row was removed; it left the view before.
  virtual void RowGone(RowIndex /*row*/) {}

  // Returns how many rows one rank can get now; with TOKENS, COUNT if there are enough.
  [[nodiscard]] virtual std::int64_t Available() = 0;
  // Returns true if one rank can get `count` rows now. Called after each change if a fetch waits.
  [[nodiscard]] virtual bool Has(std::int64_t count) { return Available() >= count; }
  // Processes notifications that were deferred, for about `rows` rows, and subtracts their number
  // from `rows`. Returns true if there are more, which the next query will have to process.
  // Errors: as RowWritten().
  virtual bool Work(std::int64_t& /*rows*/) { return false; }
  // Returns how many rows one rank can get at most if no more are created and all `rows` rows that
  // are not gone become ready. May stop counting at `enough`. REQUIRES: 0 < enough.
  [[nodiscard]] virtual std::int64_t Possible(std::int64_t rows, std::int64_t /*enough*/) {
    return rows;
  }
  // Picks `count` rows per rank; with TOKENS, at most as many as fit. REQUIRES: 1 <= count <=
  // Available(); count is a multiple of the group size. Errors: std::bad_alloc.
  virtual void Pick(std::int64_t count, Random& random, Picked& picked) = 0;
  // Appends one line per reason why rows of the view are not available.
  struct Prospects {
    RowIndex next_index = 0;    // index of the next row to be created
    bool more_are_made = true;  // more rows will be created, or nobody knows
  };
  virtual void Explain(const Prospects& /*prospects*/, std::vector<std::string>& /*lines*/) {}
};

struct SamplerRow {
  std::string_view name;
  std::unique_ptr<Sampler> (*make)(const SamplerChoice& choice, const Choosable& from);
  bool size = false;  // the options that it takes or needs
  bool needs_size = false;
  bool by = false;
  bool ranks = false;
  bool needs_ranks = false;
  bool weight = false;
  bool needs_weight = false;
  bool seed = false;
  bool tokens = false;           // TOKENS, which it needs, and UNDERFILL
  bool needs_step = false;       // RANK and STEP, also without RANKS
  bool returns_weights = false;  // the reply has the probability of each row
  std::string_view summary = {};
};

std::span<const SamplerRow> Samplers();
// Returns null if there is none. The name is case-insensitive.
const SamplerRow* FindSampler(std::string_view name);

}  // namespace sluice::controller
