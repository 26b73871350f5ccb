// Sampler: which of the rows that a task could take it takes. Each is a file in samplers/ and a row
// in sampler_registry.cc.
//
// A sampler gets a view: rows that are complete, fit and are free, as a set, never as a list. One
// that needs more than the set (whole groups, sums of weights) keeps it by itself and is told of
// every change, so that a fetch costs what it takes and not what there is. (The small interface is
// after Reverb's ItemSelector.)
//
// Thread safety: one caller at a time (the engine).
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

// A sampler as a fetch asks for it.
struct SamplerChoice {
  const SamplerRow* row = nullptr;
  std::int64_t size = 1;              // SIZE: rows of a group
  std::int64_t ranks = 1;             // RANKS: how many share what is taken
  std::string by;                     // BY: the tag whose value makes a group; "": neighbours do
  std::string weight;                 // WEIGHT: a tag; "": all rows weigh the same
  std::optional<std::uint64_t> seed;  // SEED

  // The same rows in the same order of the same view, but for the seed.
  friend bool SameOrder(const SamplerChoice& a, const SamplerChoice& b) {
    return a.row == b.row && a.size == b.size && a.ranks == b.ranks && a.by == b.by &&
           a.weight == b.weight;
  }
  friend bool operator==(const SamplerChoice& a, const SamplerChoice& b) {
    return SameOrder(a, b) && a.seed == b.seed;
  }
};

// What a sampler chooses from; all of it outlives the sampler.
struct Choosable {
  const RowBits& ready;     // the view
  const RowBits& existing;  // all rows of the partition
  const RowBits& gone;      // those that the task has consumed: they do not come any more
  const RowSource& rows;
};

// Tells `told`, a sampler or what one is made of, of the rows that there are, from `next` on, and
// takes their number off `count`. Where to go on; the highest number: there are no more.
// Errors: as RowWritten().
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
  std::vector<std::vector<RowIndex>> shares;  // one a rank; one where there are no ranks
  std::vector<double> weights;                // of shares[0], where the sampler weighs rows
};

class Sampler {
 public:
  Sampler() = default;
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;
  virtual ~Sampler() = default;

  // True: once made it must be told of the rows that there are, by TellOfRows(), to the last,
  // before it is asked.
  [[nodiscard]] virtual bool KeepsRows() const { return false; }

  // A row of the partition was made, or its tag written; before the two below.
  // Errors of these: std::bad_alloc; the sampler is of no use then, and dropped.
  virtual void RowWritten(RowIndex /*row*/) {}
  // A row came to the view, or left it, or was consumed.
  virtual void RowReady(RowIndex /*row*/) {}
  virtual void RowTaken(RowIndex /*row*/) {}
  // A row is gone; it left the view before.
  virtual void RowGone(RowIndex /*row*/) {}

  // How many rows a rank could have now.
  [[nodiscard]] virtual std::int64_t Available() = 0;
  // What was told may be worked off piece by piece: works off about so many rows' worth, and takes
  // them off `rows`. True: there is more, which the next question will take the time for.
  // Errors: as RowWritten().
  virtual bool Work(std::int64_t& /*rows*/) { return false; }
  // How many rows a rank could have at most, if no more are made and only those that are not gone,
  // `rows` in number, still come.
  [[nodiscard]] virtual std::int64_t Possible(std::int64_t rows) { return rows; }
  // Picks `count` rows a rank. REQUIRES: 1 <= count <= Available(), a multiple of the group's size.
  // Errors: std::bad_alloc.
  virtual void Pick(std::int64_t count, Random& random, Picked& picked) = 0;
  // Says, a line a reason, what of the view it does not offer.
  struct Prospects {
    RowIndex next_index = 0;    // of the next row that is made
    bool more_are_made = true;  // or nobody knows
  };
  virtual void Explain(const Prospects& /*prospects*/, std::vector<std::string>& /*lines*/) {}
};

struct SamplerRow {
  std::string_view name;
  std::unique_ptr<Sampler> (*make)(const SamplerChoice& choice, const Choosable& from);
  bool size = false;  // which options it takes
  bool needs_size = false;
  bool by = false;
  bool ranks = false;  // which it needs, too
  bool weight = false;
  bool needs_weight = false;
  bool seed = false;
  bool needs_step = false;  // RANK and STEP
  std::string_view summary = {};
};

std::span<const SamplerRow> Samplers();
// Null: there is no such sampler. The name in any case.
const SamplerRow* FindSampler(std::string_view name);

}  // namespace sluice::controller
